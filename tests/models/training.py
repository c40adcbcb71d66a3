"""MSN around any backbone, views of 224 and 96 px, and a training step, for tests."""

import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from mmssl_prior.engine.optimizers import MSNOptimWrapperConstructor


def msn(backbone, width, **kwargs):
    """A small MSN; ``width`` is that of the backbone's features."""
    torch.manual_seed(0)
    cfg = dict(
        type='MSN',
        backbone=backbone,
        neck=dict(type='MSNNeck', in_channels=width, hid_channels=24, out_channels=16),
        head=dict(type='PMSNHead', num_prototypes=6, embed_dim=16),
    )
    # mmcv looks up normalisation layers in the default scope.
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(cfg, **kwargs))
    model.init_weights()
    model.set_step(0, 0)
    return model


def views(batch=2, large=224, focal=96):
    """A target, a large anchor and a focal anchor."""
    generator = torch.Generator().manual_seed(1)
    sizes = (large, large, focal)
    return [torch.randn(batch, 3, size, size, generator=generator) for size in sizes]


def train_step(model, inputs=None):
    """One step of the released optimizer; every trained parameter got a gradient.

    Returns:
        OptimWrapper: The optimizer, for its parameter groups.
    """
    wrapper = MSNOptimWrapperConstructor(dict(optimizer=dict(type='AdamW', lr=1e-3)))(model)
    before = {name: param.detach().clone() for name, param in model.named_parameters()}
    losses = model(inputs or views(), mode='loss')
    wrapper.backward(losses['loss_ce'] + losses['loss_prior'])
    for name, param in model.named_parameters():
        if name.startswith('target_'):
            assert not param.requires_grad and torch.equal(param, before[name]), name
        else:
            assert param.grad is not None, name
    wrapper.step()
    assert not torch.equal(model.head.prototypes, before['head.prototypes'])
    model.update_target(0.5)
    moved = [
        not torch.equal(param, before[name])
        for name, param in model.named_parameters()
        if name.startswith('target_backbone.')
    ]
    assert any(moved)
    return wrapper

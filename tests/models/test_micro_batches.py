"""The backbone by micro-batches gives the gradient of the whole batch."""

import pytest
import torch

from mmssl_prior.errors import UserError
from tests.models import test_joint_embedding as joint
from tests.models.test_msn import CFG, build, views


def total(losses):
    return sum(value for name, value in losses.items() if 'loss' in name)


def step(model, inputs):
    losses = model([view.double() for view in inputs], mode='loss')
    trained = [p for p in model.parameters() if p.requires_grad]
    grads = torch.autograd.grad(total(losses), trained)
    return {k: v.detach() for k, v in losses.items()}, grads


def same(first, second):
    for name, value in first[0].items():
        torch.testing.assert_close(value, second[0][name], rtol=1e-6, atol=1e-8)
    for a, b in zip(first[1], second[1]):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize('mode', ['batch', 'sample'])
def test_msn(mode):
    """Batch normalisation of the projection sees the whole batch; parts of 2, 2 and 1 images."""
    whole = build(patch_drop_mode=mode).double()
    parts = build(patch_drop_mode=mode, micro_batch=2).double()
    passes = []
    parts.backbone.register_forward_hook(lambda net, args, out: passes.append(len(args[0])))
    same(step(whole, views(5)), step(parts, views(5)))
    # 3 focal views of each image; going backward, a pass stops at the last activation.
    assert passes == [2, 2, 1, 6, 6, 3]
    assert int(parts.neck.bn1.num_batches_tracked) == 2


def test_stochastic_depth_is_repeated():
    """The second pass drops what the first did: the gradient is that of the loss."""
    backbone = dict(CFG['backbone'], drop_path_rate=0.6)
    model = build(backbone=backbone, micro_batch=2).double()
    inputs = views(4)

    def loss():
        torch.manual_seed(3)
        return total(model([view.double() for view in inputs], mode='loss'))

    weight = model.backbone.layers[1].attn.proj.weight
    (grad,) = torch.autograd.grad(loss(), weight)
    step = 1e-5 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(4)).double()
    with torch.no_grad():
        weight += step
        above = loss()
        weight -= 2 * step
        below = loss()
    assert float(above - below) / 2 == pytest.approx(float((grad * step).sum()), rel=1e-4)


@pytest.mark.parametrize('cfg', [joint.SIMCLR, joint.VICREG, joint.SWAV], ids=lambda c: c['type'])
def test_joint_embedding(cfg):
    backbone = dict(
        type='MSNViT',
        img_size=8,
        patch_size=4,
        arch=dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8),
    )
    pooled = dict(with_avg_pool=False) if cfg is not joint.SWAV else {}
    neck = dict(cfg['neck'], in_channels=8, **pooled)
    if cfg is joint.SWAV:
        backbone['out_type'] = 'featmap'
    inputs = [torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(i)) for i in (0, 1)]
    results = []
    for micro_batch in (0, 2):
        model = joint.build(dict(cfg, backbone=backbone, neck=neck, micro_batch=micro_batch))
        results.append(step(model.double(), inputs))
    same(*results)


def test_a_number_that_is_none():
    with pytest.raises(UserError, match='micro_batch must be an integer >= 0, got -1'):
        build(micro_batch=-1)

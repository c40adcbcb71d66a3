"""Memory layouts and compiled blocks are asked for by a hook; training stays what it was."""

import shutil
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmssl_prior.engine import GroupClipOptimWrapper, SpeedHook
from mmssl_prior.errors import UserError
from mmssl_prior.models import MSNViT


def runner(backbone):
    model = nn.Module()
    model.backbone = backbone
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    return SimpleNamespace(model=model, optim_wrapper=GroupClipOptimWrapper(optimizer=optimizer))


def step(run, seed):
    generator = torch.Generator().manual_seed(seed)
    for param in run.model.parameters():
        grad = torch.randn(param.shape, generator=generator)
        # As autograd makes it: in the layout of its parameter.
        param.grad = torch.empty_like(param).copy_(grad)
    run.optim_wrapper.optimizer.step()


def convolution():
    net = nn.Conv2d(3, 4, 2)
    with torch.no_grad():
        for param in net.parameters():
            param.copy_(torch.linspace(-1, 1, param.numel()).view_as(param))
    return net


def test_moments_follow_the_layout_of_weights():
    plain, changed = runner(convolution()), runner(convolution())
    step(plain, 0)
    step(changed, 0)
    # As in a run that is resumed: moments come from a checkpoint, before the hook is called.
    hook = SpeedHook(channels_last=True)
    hook.before_train(changed)
    weight = changed.model.backbone.weight
    moments = changed.optim_wrapper.optimizer.state[weight]
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    assert moments['exp_avg'].stride() == moments['exp_avg_sq'].stride() == weight.stride()
    step(plain, 1)
    step(changed, 1)
    torch.testing.assert_close(weight.contiguous(), plain.model.backbone.weight)

    # And back: a checkpoint is read by a run without the hook.
    checkpoint = dict(optimizer=changed.optim_wrapper.state_dict())
    hook.before_save_checkpoint(changed, checkpoint)
    resumed = runner(convolution())
    resumed.model.load_state_dict(changed.model.state_dict())
    resumed.optim_wrapper.load_state_dict(checkpoint['optimizer'])
    step(plain, 2)
    step(resumed, 2)
    torch.testing.assert_close(resumed.model.backbone.weight, plain.model.backbone.weight)


def test_blocks_of_both_networks_are_compiled():
    run = runner(MSNViT('vit-ti/16', img_size=32))
    run.model.target_backbone = MSNViT('vit-ti/16', img_size=32)
    keys = list(run.model.state_dict())
    SpeedHook(compile=dict(backend='eager')).before_train(run)
    for trunk in (run.model.backbone, run.model.target_backbone):
        assert hasattr(trunk._packed_block, '_torchdynamo_orig_callable')
    assert list(run.model.state_dict()) == keys


def test_what_cannot_be_compiled(monkeypatch):
    with pytest.raises(UserError, match='Conv2d has no compile_blocks: use MSNViT, or set comp'):
        SpeedHook(compile=True).before_train(runner(convolution()))
    monkeypatch.setattr(shutil, 'which', lambda name: None)
    with pytest.raises(UserError, match='needs a C\\+\\+ compiler and finds no g\\+\\+'):
        SpeedHook(compile=True).before_train(runner(MSNViT('vit-ti/16', img_size=32)))

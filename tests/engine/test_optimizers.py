"""Parameter groups and clipping."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

import mmssl_prior  # noqa: F401
from mmssl_prior.errors import UserError
from tests.models.test_msn import CFG, total, views


def build(**kwargs):
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(CFG)
    model.init_weights()
    model.set_step(0, 0)
    cfg = dict(
        type='GroupClipOptimWrapper',
        constructor='MSNOptimWrapperConstructor',
        optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.04, fused=True),
    )
    return model, build_optim_wrapper(model, dict(cfg, **kwargs))


def test_three_groups_hold_every_trained_parameter_once():
    model, wrapper = build()
    groups = {g['name']: g for g in wrapper.optimizer.param_groups}
    assert list(groups) == ['decay', 'no_decay', 'prototypes']
    names = {id(p): n for n, p in model.named_parameters()}
    members = {k: {names[id(p)] for p in g['params']} for k, g in groups.items()}
    assert members['prototypes'] == {'head.prototypes'}
    assert {'backbone.cls_token', 'backbone.pos_embed', 'neck.fc1.weight'} <= members['decay']
    assert {'neck.bn1.weight', 'neck.fc3.bias', 'backbone.ln1.weight'} <= members['no_decay']
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert sorted(n for m in members.values() for n in m) == sorted(trained)
    assert {k: g['weight_decay'] for k, g in groups.items()} == dict(
        decay=0.04, no_decay=0.0, prototypes=0.0
    )


def test_clipping_leaves_prototypes_out():
    model, wrapper = build(clip_grad=dict(max_norm=1e-3))
    total(model(views(), mode='loss')).backward()
    before = model.head.prototypes.grad.clone()
    norm = torch.sqrt(
        sum(
            p.grad.square().sum()
            for n, p in model.named_parameters()
            if p.grad is not None and n != 'head.prototypes'
        )
    )
    assert float(norm) > 1e-3
    wrapper._clip_grad()
    assert torch.equal(model.head.prototypes.grad, before)
    after = torch.sqrt(
        sum(
            p.grad.square().sum()
            for n, p in model.named_parameters()
            if p.grad is not None and n != 'head.prototypes'
        )
    )
    assert float(after) == pytest.approx(1e-3, rel=1e-3)
    assert wrapper.message_hub.get_scalar('train/grad_norm').current() == pytest.approx(float(norm))


@pytest.mark.parametrize('name', ['neck.fc1.weight', 'head.prototypes'])
def test_a_gradient_that_is_not_finite_never_reaches_the_weights(name):
    model, wrapper = build(clip_grad=dict(max_norm=3.0))
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    total(model(views(), mode='loss')).backward()
    dict(model.named_parameters())[name].grad[0, 0] = float('nan')
    with pytest.raises(UserError, match='gradient is not finite'):
        wrapper.step()
    assert all(torch.equal(before[n], p) for n, p in model.named_parameters())


def test_bfloat16_runs_the_networks_and_nothing_else():
    """Close to float32, on CPU; parameters, gradients and losses stay in float32."""
    seen, losses = {}, {}
    for dtype in (None, 'bfloat16'):
        model, wrapper = build(dtype=dtype)
        model.backbone.layers[0].ffn.layers[1].register_forward_hook(
            lambda net, args, out, dtype=dtype: seen.update({dtype: out.dtype})
        )
        with wrapper.optim_context(model):
            losses[dtype] = model(views(), mode='loss')
        wrapper.update_params(total(losses[dtype]))
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        assert losses[dtype]['loss_ce'].dtype == torch.float32
        assert not hasattr(wrapper, 'loss_scaler')
    assert seen == {None: torch.float32, 'bfloat16': torch.bfloat16}
    for name in ('loss_ce', 'loss_prior'):
        torch.testing.assert_close(losses['bfloat16'][name], losses[None][name], rtol=5e-2, atol=0)


def test_float16_wants_a_loss_scaler():
    with pytest.raises(UserError, match="dtype must be 'bfloat16' or None, got 'float16'.*Amp"):
        build(dtype='float16')


def test_paramwise_rules_are_refused():
    with pytest.raises(ValueError, match='paramwise_cfg'):
        build(paramwise_cfg=dict(norm_decay_mult=0.0))

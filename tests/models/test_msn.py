"""The algorithm: which view sees what, the target network, errors."""

import math

import pytest
import torch
from mmpretrain.registry import MODELS

from mmssl_prior.errors import UserError

CFG = dict(
    type='MSN',
    patch_drop=0.25,
    backbone=dict(
        type='MSNViT',
        img_size=32,
        patch_size=8,
        arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=48),
    ),
    neck=dict(type='MSNNeck', in_channels=32, hid_channels=24, out_channels=16),
    head=dict(type='PMSNHead', num_prototypes=6, embed_dim=16),
)


def build(**kwargs):
    torch.manual_seed(0)
    model = MODELS.build(dict(CFG, **kwargs))
    model.init_weights()
    model.set_step(0, 0)
    return model


def views(batch=4, focal=3):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(batch, 3, 32, 32, generator=generator) for _ in range(2)] + [
        torch.randn(batch, 3, 16, 16, generator=generator) for _ in range(focal)
    ]


def total(losses):
    return losses['loss_ce'] + losses['loss_prior']


def test_patches_are_dropped_on_the_large_anchor_alone(monkeypatch):
    model, seen = build(packed=False), []
    for name in ('backbone', 'target_backbone'):
        net = getattr(model, name)
        monkeypatch.setattr(
            net,
            'forward',
            lambda x, keep=None, net=net, name=name, forward=net.forward: (
                seen.append((name, tuple(x.shape), None if keep is None else len(keep))),
                forward(x, keep),
            )[1],
        )
    model(views(), mode='loss')
    assert seen == [
        ('target_backbone', (4, 3, 32, 32), None),
        ('backbone', (4, 3, 32, 32), 12),
        ('backbone', (12, 3, 16, 16), None),
    ]


def test_loss_is_the_heads_on_each_view_by_itself():
    """Views batched together give what they give one by one, in the order of the views."""
    model, inputs = build(patch_drop=0.0), views()
    model.neck.eval()  # batch statistics of the focal group would tie its views together
    target = model.target_neck(model.target_backbone(inputs[0])[-1])
    anchors = torch.stack([model.neck(model.backbone(x)[-1]) for x in inputs[1:]])
    expected = model.head.loss(anchors, target)
    losses = model(inputs, mode='loss')
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value)


def test_gradients_reach_everything_but_the_target():
    model = build()
    total(model(views(), mode='loss')).backward()
    for name, param in model.named_parameters():
        if name.startswith('target_'):
            assert param.grad is None and not param.requires_grad
        else:
            assert param.grad is not None, name


def test_target_starts_as_a_copy_and_follows_by_the_formula():
    model = build()
    target = dict(model.target_backbone.named_parameters())
    with torch.no_grad():
        for param in model.backbone.parameters():
            param += torch.randn_like(param)
    for name, param in model.backbone.named_parameters():
        assert not torch.equal(target[name], param)
    expected = {n: 0.9 * target[n] + 0.1 * p for n, p in model.backbone.named_parameters()}
    model.update_target(0.9)
    for name, value in expected.items():
        torch.testing.assert_close(target[name], value.detach())
    model.sync_target()
    for a, b in zip(model.target_neck.parameters(), model.neck.parameters()):
        assert torch.equal(a, b)


def test_batch_norm_of_the_target_has_statistics_of_its_own():
    model = build()
    model.train()
    model(views(), mode='loss')
    model.update_target(0.99)
    assert int(model.target_neck.bn1.num_batches_tracked) == 1  # the target view
    assert int(model.neck.bn1.num_batches_tracked) == 2  # large, then focal views
    assert not torch.equal(model.target_neck.bn1.running_mean, model.neck.bn1.running_mean)
    assert model.target_neck.bn1.training


def test_patches_depend_on_seed_and_iteration_alone():
    model, view = build(), torch.zeros(4, 3, 32, 32)

    def keep(seed, iteration):
        torch.rand(3)  # the global generator has moved on
        model.set_step(seed, iteration)
        return model._keep(view).tolist()

    assert keep(0, 7) == keep(0, 7)
    assert len({tuple(keep(s, i)) for s in range(2) for i in range(10)}) > 15


def test_patches_per_sample():
    model = build(patch_drop_mode='sample')
    keep = model._keep(torch.zeros(4, 3, 32, 32))
    assert keep.shape == (4, 12) and len({tuple(r) for r in keep.tolist()}) > 1
    total(model(views(), mode='loss')).backward()


def test_features_and_assignments_come_from_the_target():
    model = build()
    model.eval()
    x = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(model(x, mode='tensor'), model.target_backbone(x)[-1])
    with torch.no_grad():
        for param in model.backbone.parameters():
            param.zero_()
    assert float(model(x, mode='tensor').abs().sum()) > 0
    log_p = model.assign(x)
    assert log_p.shape == (4, 6)
    torch.testing.assert_close(log_p.exp().sum(1), torch.ones(4))


def test_it_learns_to_agree():
    """A few steps on one batch bring the cross-entropy well below log K."""
    model = build(head=dict(CFG['head'], prior=dict(type='UniformPrior')))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    inputs = views(batch=12)
    inputs = [inputs[0], inputs[0] + 0.1 * inputs[1]]
    for i in range(60):
        model.set_step(0, i)
        losses = model(inputs, mode='loss')
        optimizer.zero_grad()
        total(losses).backward()
        optimizer.step()
        model.update_target(0.97)
    assert float(losses['loss_ce']) < 0.6 * math.log(6)
    assert int(losses['target_prototypes']) == 6


@pytest.mark.parametrize('patch_drop', [0.25, 0.0])
def test_without_a_step_it_says_which_hook_is_missing(patch_drop):
    """Without dropping, too: a target that never moves must not go unnoticed."""
    model = MODELS.build(dict(CFG, patch_drop=patch_drop))
    with pytest.raises(UserError, match='TargetNetworkHook'):
        model(views(), mode='loss')


def test_one_view_is_not_enough():
    for inputs in (torch.zeros(4, 3, 32, 32), [torch.zeros(4, 3, 32, 32)]):
        with pytest.raises(UserError, match='two views'):
            build()(inputs, mode='loss')


@pytest.mark.parametrize('term', ['loss_ce', 'loss_prior'])
def test_a_loss_that_is_not_finite_stops(term):
    model = build()
    model.set_step(0, 41)
    losses = dict(model(views(), mode='loss'))
    losses[term] = losses[term] * math.nan
    with pytest.raises(UserError, match=f'iteration 41.*{term}=nan'):
        model.parse_losses(losses)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(patch_drop=1.0), 'patch_drop'),
        (dict(patch_drop=-0.1), 'patch_drop'),
        (dict(patch_drop_mode='view'), 'patch_drop_mode'),
        (dict(head=dict(CFG['head'], embed_dim=17)), 'out_channels=16, the head embed_dim=17'),
        (dict(backbone=dict(type='ResNet', depth=18)), 'ResNet cannot'),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(CFG, **kwargs))


def test_a_backbone_of_another_width():
    with pytest.raises(ValueError, match='in_channels=33'):
        build(neck=dict(CFG['neck'], in_channels=33))(views(), mode='loss')

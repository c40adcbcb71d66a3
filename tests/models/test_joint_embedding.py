"""SimCLR, VICReg and SwAV as algorithms: what passes together, features, queue, errors."""

import copy
import math

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from torch.nn import functional as F

from mmssl_prior.errors import UserError
from mmssl_prior.functional import power_law_prior
from tests.functional.test_assignments import sinkhorn_in_the_open

BACKBONE = dict(
    type='ResNet_CIFAR',
    depth=18,
    stem_channels=8,
    base_channels=8,
    num_stages=2,
    strides=(1, 2),
    dilations=(1, 1),
    out_indices=(1,),
)
PROJECTION = dict(type='NonLinearNeck', in_channels=16, hid_channels=12, out_channels=8)
NORM = dict(type='PortableSyncBatchNorm')
SIMCLR = dict(
    type='GlobalSimCLR',
    backbone=dict(BACKBONE, norm_cfg=NORM),
    neck=dict(PROJECTION, norm_cfg=NORM),
    head=dict(type='EmbeddingHead', loss=dict(type='NTXentLoss')),
)
VICREG = dict(
    type='VICReg',
    backbone=dict(BACKBONE, norm_cfg=NORM),
    neck=dict(
        PROJECTION,
        norm_cfg=NORM,
        num_layers=3,
        with_bias=True,
        with_last_bn=False,
    ),
    head=dict(type='EmbeddingHead', loss=dict(type='VICRegLoss')),
)
SWAV = dict(
    type='PriorSwAV',
    backbone=dict(BACKBONE, norm_cfg=NORM),
    neck=dict(type='SwAVNeck', in_channels=16, hid_channels=12, out_channels=8, norm_cfg=NORM),
    head=dict(type='PriorSwAVHead', num_prototypes=6, embed_dim=8),
)
METHODS = dict(simclr=SIMCLR, vicreg=VICREG, swav=SWAV)


def build(cfg, **kwargs):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):  # mmcv looks for norms there
        model = MODELS.build(dict(copy.deepcopy(cfg), **kwargs))
    model.init_weights()
    return model


def views(batch=4, small=0, seed=1):
    generator = torch.Generator().manual_seed(seed)
    sizes = [16] * 2 + [8] * small
    return [torch.randn(batch, 3, s, s, generator=generator) for s in sizes]


def total(losses):
    return sum(value for name, value in losses.items() if 'loss' in name)


@pytest.mark.parametrize('cfg', METHODS.values(), ids=METHODS)
def test_gradients_reach_every_parameter_and_features_are_pooled(cfg):
    model = build(cfg)
    total(model(views(), mode='loss')).backward()
    for name, param in model.named_parameters():
        assert param.grad is not None, name
    model.eval()
    x = views()[0]
    features = model(x, mode='tensor')
    torch.testing.assert_close(features, model.backbone(x)[-1].mean((2, 3)))
    assert features.shape == (4, 16)


@pytest.mark.parametrize('cfg', METHODS.values(), ids=METHODS)
def test_it_learns_to_agree(cfg):
    model = build(cfg)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    first, other = views(batch=6)
    inputs = [first, first + 0.1 * other]
    losses = []
    for _ in range(8):
        loss = total(model(inputs, mode='loss'))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert (
        float(
            model(inputs, mode='loss')['spherical_variance' if cfg is not SWAV else 'p_bar_entropy']
        )
        > 0.3
    )


def test_what_passes_together(monkeypatch):
    seen = {}
    for name, cfg in METHODS.items():
        model, seen[name] = build(cfg), []
        monkeypatch.setattr(
            model.backbone,
            'forward',
            lambda x, name=name, forward=model.backbone.forward: (
                seen[name].append(tuple(x.shape[::2])),
                forward(x),
            )[1],
        )
        model(views(small=3 if name == 'swav' else 0), mode='loss')
    assert seen == dict(simclr=[(8, 16)], vicreg=[(4, 16), (4, 16)], swav=[(8, 16), (12, 8)])


def test_state_of_simclr_is_that_of_mmpretrain():
    stock = build(
        dict(
            type='SimCLR',
            backbone=SIMCLR['backbone'],
            neck=SIMCLR['neck'],
            head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss')),
        )
    )
    ours = build(SIMCLR)
    stock.load_state_dict(ours.state_dict(), strict=True)
    losses = ours(views(), mode='loss'), stock(views(), mode='loss')
    torch.testing.assert_close(losses[0]['loss_contrast'], losses[1]['loss'])


def swav_in_the_open(z, w, marginal, queue=None, tau=0.1, eps=0.05):
    """Loss of SwAV with plain exponentials; z (V, B, D) and w of length one."""
    batch = z.shape[1]
    q = []
    for a in range(2):
        scores = z[a] @ w.T
        if queue is not None:
            scores = torch.cat([scores, queue[a] @ w.T])
        q.append(sinkhorn_in_the_open((scores / eps).exp(), marginal, 3)[:batch].detach())
    p = ((z @ w.T) / tau).exp()
    p = p / p.sum(-1, keepdim=True)
    terms = [-(q[a] * p[v].log()).sum(-1).mean() for a in range(2) for v in range(len(z)) if v != a]
    return sum(terms) / (2 * (len(z) - 1))


@pytest.mark.parametrize('exponent', [0.0, 1.0])
def test_swav_against_the_open_formula(exponent):
    model = build(
        SWAV,
        head=dict(SWAV['head'], prior=dict(type='PowerLawPrior', exponent=exponent)),
    ).double()
    inputs = [view.double() for view in views(batch=5, small=2)]
    z = model.embed(inputs)
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(4, 5).double())
    w = F.normalize(model.head.prototypes, dim=1)
    expected = swav_in_the_open(z, w, power_law_prior(6, exponent))
    fresh = copy.deepcopy(model)
    losses = fresh(inputs, mode='loss')
    torch.testing.assert_close(losses['loss_swap'], expected)
    expected.backward()
    assert float(model.head.prototypes.grad.abs().max()) > 0


def test_the_marginal_of_the_assignments_is_the_prior():
    prior = dict(type='PowerLawPrior', exponent=1.0)
    z = F.normalize(torch.randn(200, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    marginals = {}
    for name, kwargs in dict(uniform={}, prior=dict(prior=prior)).items():
        head = build(dict(SWAV['head'], **kwargs, sinkhorn=dict(iterations=200)))
        head.normalize_prototypes()
        marginals[name] = head.targets(z).mean(0)
    torch.testing.assert_close(marginals['uniform'], torch.full((6,), 1 / 6), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        marginals['prior'], power_law_prior(6, 1.0).float(), atol=1e-4, rtol=0
    )
    off = build(dict(SWAV['head'], sinkhorn=dict(marginal='off')))
    off.normalize_prototypes()
    torch.testing.assert_close(off.targets(z), (z @ off.prototypes.T / 0.05).softmax(-1))


def test_prototypes_have_length_one_in_every_step():
    model = build(SWAV)
    with torch.no_grad():
        model.head.prototypes.mul_(3)
    model(views(), mode='loss')
    torch.testing.assert_close(model.head.prototypes.norm(dim=1), torch.ones(6))
    log_p = model.assign(views()[0])
    torch.testing.assert_close(log_p.exp().sum(1), torch.ones(4))


def test_queue_fills_is_used_when_full_and_goes_with_the_checkpoint():
    model = build(SWAV, queue_length=10).double()
    inputs = [[v.double() for v in views(seed=s)] for s in range(4)]
    embedded = []
    for step in range(4):
        reference = copy.deepcopy(model)
        reference.head.normalize_prototypes()
        z = reference.embed(inputs[step]).detach()
        queue = torch.cat(embedded[::-1], 1)[:, :10] if step == 3 else None
        expected = swav_in_the_open(z, reference.head.prototypes, power_law_prior(6, 0.0), queue)
        if step == 3:  # a resume in between
            state = model.state_dict()
            model = build(SWAV, queue_length=10).double()
            model.load_state_dict(state, strict=True)
        loss = model(inputs[step], mode='loss')['loss_swap']
        torch.testing.assert_close(loss, expected)
        embedded.append(z)
        assert int(model.queue_filled) == min(4 * (step + 1), 10)
    torch.testing.assert_close(model.queue, torch.cat(embedded[::-1], 1)[:, :10])
    assert not torch.equal(model.queue[0], model.queue[1])


def test_queue_waits_for_its_start():
    model = build(SWAV, queue_length=4)
    model.start_queue(False)
    model(views(), mode='loss')
    assert int(model.queue_filled) == 0 and not model.queue.any()
    model.start_queue()
    model(views(batch=6), mode='loss')
    assert int(model.queue_filled) == 4


@pytest.mark.parametrize(
    ('cfg', 'inputs', 'message'),
    [
        (SIMCLR, views()[:1], '1 views of each image, expected 2'),
        (VICREG, views() + views(), '4 views of each image, expected 2'),
        (VICREG, views()[0], '1 views'),
        (SWAV, views()[:1], 'expected at least two'),
    ],
)
def test_wrong_number_of_views(cfg, inputs, message):
    with pytest.raises(UserError, match=message):
        build(cfg)(inputs, mode='loss')


def test_a_loss_that_is_not_finite_stops():
    model = build(SIMCLR)
    losses = dict(model(views(), mode='loss'))
    losses['loss_contrast'] = losses['loss_contrast'] * math.nan
    with pytest.raises(UserError, match='not finite .*loss_contrast=nan'):
        model.parse_losses(losses)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(queue_length=-1), 'queue_length'),
        (dict(head=dict(SWAV['head'], epsilon=0.0)), 'epsilon'),
        (dict(head=dict(SWAV['head'], assigned_views=0)), 'assigned_views'),
        (dict(head=dict(SWAV['head'], prior=[1.0, 2.0])), 'shape'),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(SWAV, **kwargs)


def test_sizes_that_disagree():
    with pytest.raises(ValueError, match='embed_dim=9'):
        build(SWAV, head=dict(SWAV['head'], embed_dim=9))(views(), mode='loss')
    with pytest.raises(ValueError, match='assigned_views=3'):
        build(SWAV, head=dict(SWAV['head'], assigned_views=3))(views(), mode='loss')

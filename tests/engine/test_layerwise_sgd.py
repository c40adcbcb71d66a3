"""Layer-wise adaptive SGD against recursions written out for each recipe."""

import copy
import itertools

import pytest
import torch
from mmpretrain.engine.optimizers import LARS
from mmpretrain.registry import OPTIMIZERS

from mmssl_prior.engine import LayerwiseSGD

LR, MU, WD, ETA = 0.3, 0.9, 0.05, 0.02
SHAPES = [(4, 3), (3,), (2, 2, 1), (5,), (3, 3)]
RATES = [LR, 0.5 * LR, 0.5 * LR, 0.1 * LR]  # a schedule


def start():
    """Weights, one of which is 0, and gradients of each step, one of which is 0."""
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(s, generator=generator, dtype=torch.float64) for s in SHAPES]
    weights[2].zero_()
    grads = [
        [torch.randn(s, generator=generator, dtype=torch.float64) for s in SHAPES] for _ in RATES
    ]
    for step in grads:
        step[4].zero_()
    return weights, grads


def vicreg_and_mae(w, g, m, lr):
    if w.ndim > 1:
        g = g + WD * w
        size, norm = float(w.norm()), float(g.norm())
        g = g * (ETA * size / norm if size and norm else 1.0)
    m = MU * m + g
    return w - lr * m, m


def simclr(w, g, m, lr):
    rate = 1.0
    if w.ndim > 1:
        g = g + WD * w
        size, norm = float(w.norm()), float(g.norm())
        rate = ETA * size / norm if size and norm else 1.0
    m = MU * m + lr * rate * g
    return w - m, m


def mmpretrain(w, g, m, lr):
    rate = 1.0
    if w.ndim > 1:
        size, norm = float(w.norm()), float(g.norm())
        if size and norm:
            rate = ETA * size / (norm + WD * size + 1e-8)
        g = g + WD * w
    m = MU * m + lr * rate * g
    return w - m, m


def larc(w, g, m, lr):
    size, norm = float(w.norm()), float(g.norm())
    rate = ETA * size / (norm + WD * size + 1e-8) if size and norm else 1.0
    m = MU * m + rate * (g + WD * w)
    return w - lr * m, m


FORMS = dict(
    vicreg=(vicreg_and_mae, dict()),
    simclr=(simclr, dict(trust_norm='update', lr_in_momentum=True)),
    mmpretrain=(mmpretrain, dict(trust_norm='separate', lr_in_momentum=True, eps=1e-8)),
    larc=(larc, dict(trust_norm='separate', eps=1e-8, exclude_1d=())),
)


def train(optimizer, params, grads):
    for rate, step in zip(RATES, grads):
        for group in optimizer.param_groups:
            group['lr'] = rate
        for p, g in zip(params, step):
            p.grad = g.clone()
        optimizer.step()
        assert all(torch.equal(p.grad, g) for p, g in zip(params, step)), 'gradients stay'
    return [p.detach() for p in params]


@pytest.mark.parametrize('form', FORMS)
def test_steps_against_the_recursion(form):
    recursion, kwargs = FORMS[form]
    weights, grads = start()
    params = [torch.nn.Parameter(w.clone()) for w in weights]
    optimizer = LayerwiseSGD(params, lr=LR, momentum=MU, weight_decay=WD, eta=ETA, **kwargs)
    found = train(optimizer, params, grads)
    for i, w in enumerate(weights):
        m = torch.zeros_like(w)
        for rate, step in zip(RATES, grads):
            w, m = recursion(w, step[i], m, rate)
        torch.testing.assert_close(found[i], w)


def test_the_form_of_mmpretrain_is_its_lars():
    weights, grads = start()
    kwargs = dict(lr=LR, momentum=MU, weight_decay=WD, eta=ETA, eps=1e-8)
    ours, stock = ([torch.nn.Parameter(w.clone()) for w in weights] for _ in range(2))
    mine = LayerwiseSGD(ours, trust_norm='separate', lr_in_momentum=True, **kwargs)
    groups = [dict(params=[p for p in stock if p.ndim > 1])]
    groups += [dict(params=[p for p in stock if p.ndim <= 1], weight_decay=0, lars_exclude=True)]
    for a, b in zip(train(mine, ours, grads), train(LARS(groups, **kwargs), stock, grads)):
        torch.testing.assert_close(a, b)


def test_the_forms_differ():
    weights, grads = start()
    ends = []
    for _, kwargs in FORMS.values():
        params = [torch.nn.Parameter(w.clone()) for w in weights]
        ends.append(
            train(LayerwiseSGD(params, LR, weight_decay=WD, eta=ETA, **kwargs), params, grads)
        )
    for a, b in itertools.combinations(ends, 2):
        assert float((a[0] - b[0]).abs().max()) > 1e-4


@pytest.mark.parametrize('exclude', [(), ('decay',), ('adaptation',), ('decay', 'adaptation')])
def test_exclusions_of_vectors(exclude):
    w = torch.nn.Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))
    w.grad = torch.tensor([0.0, 2.0], dtype=torch.float64)
    LayerwiseSGD([w], lr=1.0, weight_decay=0.5, eta=0.1, exclude_1d=exclude).step()
    g = torch.tensor([0.0, 2.0], dtype=torch.float64)
    if 'decay' not in exclude:
        g = g + 0.5 * torch.tensor([3.0, 4.0], dtype=torch.float64)
    if 'adaptation' not in exclude:
        g = g * 0.1 * 5 / g.norm()
    torch.testing.assert_close(w.detach(), torch.tensor([3.0, 4.0], dtype=torch.float64) - g)


def test_state_can_be_saved_and_parameters_without_gradient_stay():
    weights, grads = start()
    params = [torch.nn.Parameter(w.clone()) for w in weights]
    straight = train(LayerwiseSGD(params, LR, weight_decay=WD), params, grads)
    params = [torch.nn.Parameter(w.clone()) for w in weights]
    first = LayerwiseSGD(params, LR, weight_decay=WD)
    for rate, step in zip(RATES[:2], grads):
        first.param_groups[0]['lr'] = rate
        for p, g in zip(params, step):
            p.grad = g
        first.step()
    second = LayerwiseSGD(params, LR, weight_decay=WD)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for rate, step in zip(RATES[2:], grads[2:]):
        second.param_groups[0]['lr'] = rate
        for p, g in zip(params, step):
            p.grad = g
        second.step()
    for p, expected in zip(params, straight):
        torch.testing.assert_close(p.detach(), expected)
    before = [p.detach().clone() for p in params]
    second.zero_grad()
    assert second.step(lambda: 3.0) == 3.0
    assert all(torch.equal(a, b) for a, b in zip(before, params))


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(lr=-1.0), 'lr must be >= 0'),
        (dict(eta=float('nan')), 'eta must be >= 0'),
        (dict(trust_norm='both'), "'update' or 'separate', got 'both'"),
        (dict(exclude_1d='decay'), 'list of'),
        (dict(exclude_1d=['bias']), 'list of'),
    ],
)
def test_bad_arguments(kwargs, message):
    cfg = dict(type='LayerwiseSGD', params=[torch.nn.Parameter(torch.ones(1))], lr=0.1) | kwargs
    with pytest.raises(ValueError, match=message):
        OPTIMIZERS.build(cfg)


@pytest.mark.parametrize('lr_in_momentum', [False, True])
@pytest.mark.parametrize('momentum', [0.0, MU])
def test_a_step_that_is_withheld_has_not_been(momentum, lr_in_momentum):
    """A flag on the device decides; without a step to withhold it changes no bit."""
    weights, grads = start()
    params = [[torch.nn.Parameter(w.clone()) for w in weights] for _ in range(2)]
    settings = dict(momentum=momentum, weight_decay=WD, eta=ETA, lr_in_momentum=lr_in_momentum)
    plain, flagged = (LayerwiseSGD(p, lr=LR, **settings) for p in params)
    flagged.found_inf = torch.zeros(())
    for i, step in enumerate(grads):
        for optimizer, chosen in zip((plain, flagged), params):
            for p, g in zip(chosen, step):
                p.grad = g.clone()
            optimizer.step()
        if i == 1:
            flagged.found_inf.fill_(1)
            for p, poison in zip(params[1], itertools.cycle([float('nan'), float('inf')])):
                p.grad = torch.full_like(p, poison)
            flagged.step()
            flagged.found_inf.zero_()
        for one, other in zip(*params):
            assert torch.equal(one, other)

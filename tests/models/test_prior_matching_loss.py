"""KL(p_bar || prior): hand value, reference, gradients, laws, errors."""

import math

import pytest
import torch

from mmssl_prior.functional import power_law_prior, uniform_prior
from mmssl_prior.models import PriorMatchingLoss


def log_predictions(n=6, k=5, seed=0):
    return torch.randn(
        n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).log_softmax(-1)


def test_hand_value():
    log_p = torch.tensor([[0.9, 0.1], [0.1, 0.9]]).log()
    loss, log_mean = PriorMatchingLoss(2.0)(log_p, torch.tensor([0.25, 0.75]).log())
    assert float(loss) == pytest.approx(2 * (0.5 * math.log(2) + 0.5 * math.log(2 / 3)))
    torch.testing.assert_close(log_mean.exp(), torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize('direction', ['forward', 'reverse'])
def test_against_loops(direction):
    log_p, prior = log_predictions(), power_law_prior(5, 1.0)
    expected = 0.0
    for k in range(5):
        mean = sum(math.exp(log_p[i, k]) for i in range(6)) / 6
        a, b = (mean, float(prior[k])) if direction == 'forward' else (float(prior[k]), mean)
        expected += a * math.log(a / b)
    loss, _ = PriorMatchingLoss(direction=direction)(log_p, prior.log())
    assert float(loss) == pytest.approx(expected)


def test_uniform_prior_gives_the_term_of_msn():
    log_p = log_predictions()
    p_bar = log_p.exp().mean(0)
    loss, _ = PriorMatchingLoss()(log_p, uniform_prior(5).log())
    torch.testing.assert_close(loss, math.log(5) + (p_bar * p_bar.log()).sum())


def test_reverse_does_not():
    log_p = log_predictions()
    forward, _ = PriorMatchingLoss()(log_p, uniform_prior(5).log())
    reverse, _ = PriorMatchingLoss(direction='reverse')(log_p, uniform_prior(5).log())
    assert abs(float(forward - reverse)) > 1e-3


def test_zero_only_where_the_mean_is_the_prior():
    prior = power_law_prior(5, 0.5)
    loss, _ = PriorMatchingLoss()(prior.log().expand(3, -1), prior.log())
    assert float(loss) == pytest.approx(0, abs=1e-12)
    x = log_predictions().requires_grad_()
    loss, _ = PriorMatchingLoss()(x, prior.log())
    loss.backward()
    assert float(loss) > 0 and float(x.grad.abs().max()) > 0


@pytest.mark.parametrize('direction', ['forward', 'reverse'])
def test_gradients_in_double_precision(direction):
    logits = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    loss = PriorMatchingLoss(direction=direction)
    log_prior = power_law_prior(3, 1.0).log()
    assert torch.autograd.gradcheck(lambda x: loss(x.log_softmax(-1), log_prior)[0], logits)
    assert torch.autograd.gradgradcheck(lambda x: loss(x.log_softmax(-1), log_prior)[0], logits)


def test_a_dead_prototype_keeps_its_gradient():
    """Clamping p_bar at 1e-8 kills it; float32 probabilities of exp(-200) would too."""
    logits = torch.tensor([[0.0, 0.0, -30.0], [0.0, 0.0, -30.0]], requires_grad=True)
    loss, _ = PriorMatchingLoss()(logits.log_softmax(-1), power_law_prior(3, 0.25).log().float())
    loss.backward()
    assert float(logits.grad[0, 2]) < 0  # descent raises it
    logits = torch.tensor([[0.0, 0.0, -200.0]], requires_grad=True)
    loss, log_mean = PriorMatchingLoss(direction='reverse')(
        logits.log_softmax(-1), uniform_prior(3).log().float()
    )
    loss.backward()
    assert float(log_mean[2]) == pytest.approx(-200 - math.log(2))
    assert float(logits.grad[0, 2]) == pytest.approx(-1 / 3)


def test_order_of_samples_does_not_matter_and_input_stays():
    log_p, log_prior = log_predictions(), power_law_prior(5, 1.0).log()
    before = log_p.clone()
    torch.testing.assert_close(
        PriorMatchingLoss()(log_p.flip(0), log_prior)[0], PriorMatchingLoss()(log_p, log_prior)[0]
    )
    assert torch.equal(log_p, before)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(direction='backward'), 'direction'),
        (dict(loss_weight=-1.0), 'loss_weight'),
        (dict(loss_weight=float('nan')), 'loss_weight'),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        PriorMatchingLoss(**kwargs)


def test_sizes_that_disagree():
    with pytest.raises(ValueError, match='5 prototypes, prior over 3'):
        PriorMatchingLoss()(log_predictions(), uniform_prior(3).log())

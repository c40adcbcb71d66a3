import math

import pytest
import torch
from scipy.stats import entropy as scipy_entropy

from mmssl_prior.evaluation import prototype_usage


def _log_probs(samples=50, prototypes=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(samples, prototypes, generator=generator) * 3).log_softmax(1)


def test_equals_plain_probabilities():
    log_probs, prior = _log_probs(), torch.linspace(2, 1, 7).softmax(0)
    usage = prototype_usage(log_probs, prior.log())
    p_bar = log_probs.double().exp().mean(0)
    torch.testing.assert_close(usage.p_bar, p_bar)
    assert usage.effective_number == pytest.approx(math.exp(scipy_entropy(p_bar)))
    assert usage.kl_to_prior == pytest.approx(scipy_entropy(p_bar, prior), rel=1e-5)
    counts = [0] * 7
    for row in log_probs.tolist():
        counts[row.index(max(row))] += 1
    assert usage.counts.tolist() == counts
    assert usage.num_used == sum(count > 0 for count in counts)


def test_flat_and_collapsed():
    prior = torch.full((4,), 0.25).log()
    flat = prototype_usage(prior.expand(10, 4), prior)
    assert flat.effective_number == pytest.approx(4) and flat.kl_to_prior == pytest.approx(0)
    assert flat.num_used == 1, 'every sample is undecided alike: hard usage shows the collapse'
    one = prototype_usage(torch.tensor([[0.0, -1e9, -1e9, -1e9]]).expand(10, 4), prior)
    assert one.effective_number == pytest.approx(1)
    assert one.kl_to_prior == pytest.approx(math.log(4))
    assert one.counts.tolist() == [10, 0, 0, 0]


def test_order_of_samples_does_not_matter_and_input_is_left_alone():
    log_probs = _log_probs()
    copy = log_probs.clone()
    prior = torch.full((7,), 1 / 7).log()
    first, second = prototype_usage(log_probs, prior), prototype_usage(log_probs.flip(0), prior)
    torch.testing.assert_close(tuple(first), tuple(second))
    torch.testing.assert_close(log_probs, copy, rtol=0, atol=0)


@pytest.mark.parametrize('samples, prior', [(0, 7), (5, 6)])
def test_bad_shapes(samples, prior):
    with pytest.raises(ValueError, match='must have shapes'):
        prototype_usage(torch.zeros(samples, 7), torch.zeros(prior))

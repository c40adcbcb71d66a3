"""Priors: hand values, laws and errors."""

import math

import numpy as np
import pytest
import torch

from mmssl_prior.functional import (
    empirical_prior,
    entropy,
    kl_divergence,
    power_law_prior,
    uniform_prior,
    validate_prior,
)


@pytest.mark.parametrize(
    ('exponent', 'ratio', 'perplexity', 'kl'),
    [(0.25, 5.66, 982, 0.042), (0.5, 32, 805, 0.241), (1.0, 1024, 182, 1.73)],
)
def test_power_law_has_the_known_figures_at_1024_prototypes(exponent, ratio, perplexity, kl):
    prior = power_law_prior(1024, exponent)
    assert float(prior[0] / prior[-1]) == pytest.approx(ratio, rel=1e-3)
    assert float(entropy(prior.log()).exp()) == pytest.approx(perplexity, rel=3e-3)
    uniform = uniform_prior(1024)
    assert float(kl_divergence(prior.log(), uniform.log())) == pytest.approx(kl, rel=2e-2)


@pytest.mark.parametrize('num_prototypes', [1, 2, 7, 1024])
@pytest.mark.parametrize('exponent', [0.0, 0.25, 1.0, 3.0])
def test_power_law_against_a_loop(num_prototypes, exponent):
    weights = [k**-exponent for k in range(1, num_prototypes + 1)]
    expected = [w / math.fsum(weights) for w in weights]
    prior = power_law_prior(num_prototypes, exponent)
    torch.testing.assert_close(prior, torch.tensor(expected, dtype=torch.float64))
    assert float(prior.sum()) == pytest.approx(1, abs=1e-12)


def test_exponent_zero_is_uniform():
    torch.testing.assert_close(power_law_prior(5, 0.0), uniform_prior(5), rtol=0, atol=0)
    assert uniform_prior(5).tolist() == [0.2] * 5


def resample_by_integration(counts, num_prototypes):
    """Mass of a step density over equal intervals of rank, summed cell by cell."""
    counts = sorted(counts, reverse=True)
    total, result = sum(counts), []
    for k in range(num_prototypes):
        low, high = k / num_prototypes, (k + 1) / num_prototypes
        mass = 0.0
        for i, count in enumerate(counts):
            a, b = i / len(counts), (i + 1) / len(counts)
            mass += count / total * max(0.0, min(b, high) - max(a, low)) / (b - a)
        result.append(mass)
    return torch.tensor(result, dtype=torch.float64)


@pytest.mark.parametrize('num_prototypes', [1, 2, 3, 5, 8, 50])
def test_empirical_prior_against_integration(num_prototypes):
    counts = [3, 90, 7, 40, 1]
    prior = empirical_prior(counts, num_prototypes)
    torch.testing.assert_close(prior, resample_by_integration(counts, num_prototypes))
    assert float(prior.sum()) == pytest.approx(1)
    assert bool((prior.diff() <= 1e-12).all())


def test_empirical_prior_is_the_identity_for_as_many_prototypes_as_classes():
    torch.testing.assert_close(
        empirical_prior([1, 5, 2], 3), torch.tensor([5.0, 2.0, 1.0]).double() / 8, rtol=0, atol=0
    )


def test_empirical_prior_does_not_touch_its_input():
    counts = np.array([1, 5, 2])
    empirical_prior(counts, 4)
    assert counts.tolist() == [1, 5, 2]


@pytest.mark.parametrize(
    ('counts', 'message'),
    [
        ([], 'non-empty'),
        ([1, 0], 'entry 1 is 0'),
        ([1, -2], 'entry 1 is -2'),
        ([float('nan')], 'entry 0 is nan'),
        ([float('inf'), 1], 'entry 0 is inf'),
    ],
)
def test_bad_counts(counts, message):
    with pytest.raises(ValueError, match=message):
        empirical_prior(counts, 4)


def test_mismatch_without_resampling():
    with pytest.raises(ValueError, match='2 class counts for 3 prototypes'):
        empirical_prior([1, 2], 3, resample=False)
    assert len(empirical_prior([1, 2, 3], 3, resample=False)) == 3


@pytest.mark.parametrize(
    ('prior', 'message'),
    [
        ([0.5, 0.5], r'shape \(2,\), expected \(3,\)'),
        ([0.5, 0.5, 0.0], 'entry 2 is 0'),
        ([0.5, 0.7, -0.2], 'entry 2 is -0.2'),
        ([0.5, float('nan'), 0.1], 'entry 1 is nan'),
    ],
)
def test_bad_prior(prior, message):
    with pytest.raises(ValueError, match=message):
        validate_prior(torch.tensor(prior), 3)


@pytest.mark.parametrize('exponent', [-1.0, float('nan'), float('inf'), '0.25', None])
def test_bad_exponent(exponent):
    with pytest.raises(ValueError, match='exponent'):
        power_law_prior(3, exponent)

"""Priors over prototypes from class sizes."""

import numpy as np
import pytest
import torch

from mmssl_prior.errors import UserError
from mmssl_prior.functional import empirical_prior, power_law_prior, uniform_prior
from mmssl_prior.insight import (
    fitted_exponent,
    merged_classes,
    spread_classes,
    spread_exponent,
)


@pytest.mark.parametrize('k', [3, 5, 64])
def test_limits(k):
    sizes = torch.tensor([5.0, 20.0, 1.0, 4.0])
    torch.testing.assert_close(spread_classes(sizes, k), empirical_prior(sizes, k))
    torch.testing.assert_close(spread_classes(sizes, k, 1.0), uniform_prior(k))
    half = spread_classes(sizes, k, 0.5)
    assert half.sum() == pytest.approx(1) and (half.diff() <= 1e-12).all()


def test_whole_numbers_of_prototypes():
    """Classes of 9, 4 and 1 parts with alpha = 1/2 take 3, 2 and 1 of six prototypes."""
    prior = spread_classes(torch.tensor([9.0, 4.0, 1.0]), 6, 0.5)
    torch.testing.assert_close(14 * prior, torch.tensor([3, 3, 3, 2, 2, 1]).double())


@pytest.mark.parametrize('exponent', [0.25, 0.5, 0.8])
@pytest.mark.parametrize('split', [0.0, 0.25, 0.5, 0.75])
def test_exponent_far_from_the_first_ranks(exponent, split):
    """The slope over the last half of many prototypes of many classes."""
    prior = spread_classes(power_law_prior(4000, exponent), 4000, split).numpy()
    ranks = np.arange(1, 4001)
    slope = np.polyfit(np.log(ranks[1000:]), np.log(prior[1000:]), 1)[0]
    assert -slope == pytest.approx(spread_exponent(exponent, split), abs=0.03)


def test_exponent_at_its_limits():
    assert spread_exponent(1.0, 0.5) == 1 and spread_exponent(1.7, 1.0) == 0
    assert spread_exponent(2.0, 0.5) == float('inf')


def test_fewer_prototypes_than_classes():
    sizes = power_law_prior(1000, 0.5)
    neighbours = fitted_exponent(spread_classes(sizes, 100))
    strangers = merged_classes(sizes, 100)
    assert strangers.sum() == pytest.approx(1) and (strangers.diff() <= 0).all()
    assert fitted_exponent(strangers) < neighbours - 0.1


def test_mistakes():
    with pytest.raises(UserError, match=r'split must be in \[0, 1\], got 2'):
        spread_classes(torch.ones(3), 3, 2)
    with pytest.raises(UserError, match='entry 1 is 0'):
        spread_classes(torch.tensor([1.0, 0.0]), 3)
    with pytest.raises(UserError, match='3 classes cannot share 3 prototypes'):
        merged_classes(torch.ones(3), 3)

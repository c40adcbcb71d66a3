"""Sorted matching of a prior: the best permutation there is."""

from itertools import permutations

import pytest
import torch

from mmssl_prior.functional import kl_divergence, power_law_prior, uniform_prior
from mmssl_prior.study.sorted_matching import match_prior


def distribution(size, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, generator=generator, dtype=torch.float64).softmax(0)


def test_by_hand():
    prior, usage = torch.tensor([0.5, 0.3, 0.2]).log(), torch.tensor([2.0, 30.0, 4.0])
    assert torch.equal(match_prior(prior, usage), prior[[2, 0, 1]])


@pytest.mark.parametrize('size', range(1, 7))
@pytest.mark.parametrize('seed', range(3))
def test_no_permutation_is_nearer_in_either_direction(size, seed):
    p, prior = distribution(size, seed), distribution(size, seed + 10).log()
    matched = match_prior(prior, p)
    every = torch.stack([prior[list(order)] for order in permutations(range(size))])
    torch.testing.assert_close(
        kl_divergence(p.log(), matched), kl_divergence(p.log(), every).min(), rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(
        kl_divergence(matched, p.log()), kl_divergence(every, p.log()).min(), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize('seed', range(3))
def test_it_is_never_farther_than_fixed_ranks(seed):
    p, prior = distribution(100, seed), power_law_prior(100, 0.5).log()
    matched = kl_divergence(p.log(), match_prior(prior, p))
    assert float(matched) < float(kl_divergence(p.log(), prior))
    in_order = p.sort(descending=True).values
    assert torch.equal(match_prior(prior, in_order), prior)


def test_a_uniform_prior_is_as_it_was():
    prior = uniform_prior(50).log()
    assert torch.equal(match_prior(prior, distribution(50, 0)), prior)


def test_permuting_the_prototypes_permutes_the_match():
    usage, prior = distribution(20, 0), power_law_prior(20, 1.0).log()
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    assert torch.equal(match_prior(prior, usage[order]), match_prior(prior, usage)[order])
    # Nor does the order in which a prior is written down.
    assert torch.equal(match_prior(prior[order], usage), match_prior(prior, usage))


def test_equal_usage_keeps_the_order_of_the_prior():
    prior = torch.tensor([0.2, 0.4, 0.1, 0.3]).log()
    assert torch.equal(match_prior(prior, torch.zeros(4)), prior)
    # Of the two that are used, 1 is before 2; of the others, 3 before 0.
    usage = torch.tensor([0.0, 1.0, 1.0, 0.0])
    assert torch.equal(match_prior(prior, usage), torch.tensor([0.1, 0.4, 0.3, 0.2]).log())


def test_its_inputs_are_not_touched():
    prior, usage = power_law_prior(4, 1.0).log(), torch.tensor([1.0, 3.0, 2.0, 4.0])
    match_prior(prior, usage)
    assert usage.tolist() == [1, 3, 2, 4] and torch.equal(prior, power_law_prior(4, 1.0).log())


@pytest.mark.parametrize(('prior', 'usage'), [((3,), (2,)), ((2, 3), (2, 3)), ((), ())])
def test_shapes_that_disagree(prior, usage):
    with pytest.raises(ValueError, match=r'log_prior and usage must have the same shape \(K,\)'):
        match_prior(torch.zeros(prior), torch.zeros(usage))

"""Divergences: hand values, laws, gradients."""

import math

import pytest
import torch

from mmssl_prior.functional import entropy, kl_divergence, soft_cross_entropy, uniform_prior


def random_log_probs(*shape, seed=0, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=generator, dtype=torch.float64) * scale).log_softmax(-1)


def test_hand_values():
    p, q = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.25, 0.75]).log()
    expected = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    assert float(kl_divergence(p, q)) == pytest.approx(expected)
    assert float(entropy(p)) == pytest.approx(math.log(2))
    assert float(soft_cross_entropy(p.exp(), q)) == pytest.approx(
        -0.5 * math.log(0.25) - 0.5 * math.log(0.75)
    )


def test_kl_is_not_negative_and_zero_only_for_equal_distributions():
    p, q = random_log_probs(100, 7), random_log_probs(100, 7, seed=1)
    assert bool((kl_divergence(p, q) > 1e-3).all())
    torch.testing.assert_close(kl_divergence(p, p), torch.zeros(100, dtype=torch.float64))


def test_cross_entropy_is_entropy_plus_kl():
    p, q = random_log_probs(5, 7), random_log_probs(5, 7, seed=1)
    torch.testing.assert_close(soft_cross_entropy(p.exp(), q), entropy(p) + kl_divergence(p, q))


def test_kl_to_uniform_is_log_k_minus_entropy():
    p = random_log_probs(5, 11)
    torch.testing.assert_close(kl_divergence(p, uniform_prior(11).log()), math.log(11) - entropy(p))


def test_gradients():
    p = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    q = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda a, b: kl_divergence(a.log_softmax(-1), b.log_softmax(-1)), (p, q)
    )
    assert torch.autograd.gradcheck(lambda a: entropy(a.log_softmax(-1)), p)
    assert torch.autograd.gradcheck(
        lambda a, b: soft_cross_entropy(a.softmax(-1), b.log_softmax(-1)), (p, q)
    )


def test_gradient_at_a_nearly_empty_prototype():
    """The forward divergence is tame where the reverse one explodes."""
    p_bar = torch.tensor([1e-6, 1 - 1e-6], dtype=torch.float64, requires_grad=True)
    prior = torch.tensor([0.0338, 0.9662], dtype=torch.float64).log()
    (forward,) = torch.autograd.grad(kl_divergence(p_bar.log(), prior), p_bar)
    (reverse,) = torch.autograd.grad(kl_divergence(prior, p_bar.log()), p_bar)
    assert float(forward[0]) == pytest.approx(math.log(1e-6) + 1 - math.log(0.0338), rel=1e-6)
    assert float(reverse[0]) == pytest.approx(-33800, rel=1e-3)


def test_inputs_are_left_alone():
    p, q = random_log_probs(5, 7), random_log_probs(5, 7, seed=1)
    before = p.clone(), q.clone()
    kl_divergence(p, q), entropy(p), soft_cross_entropy(p, q)
    assert torch.equal(p, before[0]) and torch.equal(q, before[1])

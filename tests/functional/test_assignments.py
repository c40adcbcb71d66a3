"""Cosine predictions, sharpening and Sinkhorn."""

import math

import pytest
import torch

from mmssl_prior.functional import (
    cosine_log_probs,
    power_law_prior,
    prototype_terms,
    sharpen,
    sinkhorn,
    uniform_prior,
)


def test_cosine_log_probs_against_loops():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    w = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    for i in range(3):
        logits = [
            sum(float(z[i, d] * w[k, d]) for d in range(5))
            / math.sqrt(sum(float(z[i, d]) ** 2 for d in range(5)))
            / math.sqrt(sum(float(w[k, d]) ** 2 for d in range(5)))
            / 0.1
            for k in range(4)
        ]
        total = math.log(sum(math.exp(x) for x in logits))
        expected = torch.tensor([x - total for x in logits], dtype=torch.float64)
        torch.testing.assert_close(cosine_log_probs(z, w, 0.1)[i], expected)


def test_cosine_log_probs_ignore_lengths():
    z, w = torch.randn(3, 5), torch.randn(4, 5)
    torch.testing.assert_close(cosine_log_probs(7 * z, 0.3 * w, 0.1), cosine_log_probs(z, w, 0.1))


def test_cosine_log_probs_gradients():
    z = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    w = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: cosine_log_probs(a, b, 0.5), (z, w))


def test_sharpening_is_a_power():
    p = torch.tensor([0.1, 0.2, 0.7], dtype=torch.float64)
    expected = p**4 / (p**4).sum()
    torch.testing.assert_close(sharpen(p.log(), 0.25).exp(), expected)
    torch.testing.assert_close(sharpen(p.log(), 1.0).exp(), p)


def sinkhorn_in_the_open(q, marginal, iterations):
    """Alternate scaling of a plain matrix, as the algorithm is written in textbooks."""
    q = q.clone()
    batch, prototypes = q.shape
    for _ in range(iterations):
        for k in range(prototypes):
            q[:, k] *= batch * marginal[k] / q[:, k].sum()
        for b in range(batch):
            q[b] /= q[b].sum()
    return q


@pytest.mark.parametrize('exponent', [0.0, 0.25, 1.0])
@pytest.mark.parametrize('iterations', [1, 3, 20])
def test_sinkhorn_against_the_open_iteration(exponent, iterations):
    q = torch.rand(12, 5, dtype=torch.float64).softmax(-1)
    marginal = power_law_prior(5, exponent)
    torch.testing.assert_close(
        sinkhorn(q.log(), marginal.log(), iterations).exp(),
        sinkhorn_in_the_open(q, marginal, iterations),
    )


@pytest.mark.parametrize('exponent', [0.0, 0.25, 1.0])
def test_sinkhorn_marginals_hold(exponent):
    log_q = torch.randn(64, 8, dtype=torch.float64) * 3
    marginal = power_law_prior(8, exponent)
    q = sinkhorn(log_q, marginal.log(), 500).exp()
    torch.testing.assert_close(q.sum(1), torch.ones(64, dtype=torch.float64))
    torch.testing.assert_close(q.mean(0), marginal, rtol=1e-6, atol=1e-9)


def test_uniform_balancing_undoes_a_prior_and_prior_balancing_keeps_it():
    """The mistake of other implementations: steep targets become equal under a uniform marginal."""
    prior = power_law_prior(16, 1.0)
    log_q = torch.randn(512, 16, dtype=torch.float64) + 2 * prior.log()
    ratio = {
        name: q.mean(0).max() / q.mean(0).min()
        for name, q in dict(
            before=log_q.softmax(-1),
            uniform=sinkhorn(log_q, uniform_prior(16).log(), 50).exp(),
            prior=sinkhorn(log_q, prior.log(), 50).exp(),
        ).items()
    }
    assert ratio['before'] > 50
    assert ratio['uniform'] < 1.001
    assert ratio['prior'] == pytest.approx(16, rel=1e-3)


def test_sinkhorn_keeps_the_order_of_samples_and_its_input():
    log_q, marginal = torch.randn(10, 4), power_law_prior(4, 0.5).log().float()
    before, order = log_q.clone(), torch.randperm(10)
    torch.testing.assert_close(sinkhorn(log_q[order], marginal), sinkhorn(log_q, marginal)[order])
    torch.testing.assert_close(log_q, before, rtol=0, atol=0)


@pytest.mark.parametrize(
    'log_q',
    [
        torch.tensor([[3e38, -3e38, 0.0], [3e38, -3e38, 1.0]]),
        torch.full((4, 3), -3e38),
        torch.full((4, 3), 3e38),
        torch.tensor([[0.0, -1e4, -1e38]] * 5),
        torch.zeros(1, 3),
    ],
)
def test_sinkhorn_has_no_nan_on_extreme_input(log_q):
    for iterations in (1, 3, 50):
        q = sinkhorn(log_q, power_law_prior(3, 1.0).log().float(), iterations)
        assert bool(torch.isfinite(q).all())
        torch.testing.assert_close(q.exp().sum(1), torch.ones(len(q)))


def test_inputs_are_left_alone():
    z, w = torch.randn(3, 5), torch.randn(4, 5)
    before = z.clone(), w.clone()
    cosine_log_probs(z, w, 0.1), sharpen(z, 0.25)
    assert torch.equal(z, before[0]) and torch.equal(w, before[1])


@pytest.mark.parametrize('largest', [10**9, 24, 1])
def test_prototype_terms_are_those_of_all_predictions(largest):
    """All views at once, two at a time, or one: values and gradients of the formulas."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(5, 3, 2, generator=generator, dtype=torch.double, requires_grad=True)
    w = torch.randn(4, 2, generator=generator, dtype=torch.double, requires_grad=True)
    q = torch.rand(3, 4, generator=generator, dtype=torch.double)
    q = q / q.sum(1, keepdim=True)
    cross_entropy, log_sums = prototype_terms(z, w, q, 0.5, largest)
    logits = (z / z.norm(dim=-1, keepdim=True)) @ (w / w.norm(dim=-1, keepdim=True)).T / 0.5
    p = logits.exp() / logits.exp().sum(-1, keepdim=True)
    expected = -(q * p.log()).sum(-1), p.sum((0, 1)).log()
    loss, expected_loss = (
        a.square().sum() + b.sin().sum() for a, b in ((cross_entropy, log_sums), expected)
    )
    grads = torch.autograd.grad(loss, (z, w))
    for a, b in zip(
        (cross_entropy, log_sums, *grads), (*expected, *torch.autograd.grad(expected_loss, (z, w)))
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        assert torch.equal(prototype_terms(z, w, q, 0.5, largest)[0], cross_entropy)

"""NT-Xent, VICReg's terms and swapped prediction: hand values, loops, gradients, laws."""

import math

import pytest
import torch

from mmssl_prior.functional import (
    nt_xent,
    off_diagonal_covariance,
    spherical_variance,
    swapped_cross_entropy,
    variance_hinge,
)


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a, b):
    dot = sum(float(x * y) for x, y in zip(a, b))
    return dot / math.sqrt(sum(float(x) ** 2 for x in a) * sum(float(y) ** 2 for y in b))


def test_nt_xent_by_hand():
    """Two opposite images whose views agree: -log(e^2 / (e^2 + 2 e^-2))."""
    z = torch.tensor([[[1.0], [-1.0]]] * 2)
    expected = math.log(math.e**2 + 2 * math.exp(-2)) - 2
    torch.testing.assert_close(nt_xent(z, 0.5), torch.full((2, 2), expected))


def test_nt_xent_against_loops():
    z, tau, batch = rows(2, 4, 3), 0.3, 4
    every = [(v, i) for v in range(2) for i in range(batch)]
    for v, i in every:
        others = [math.exp(cosine(z[v, i], z[w, j]) / tau) for w, j in every if (w, j) != (v, i)]
        positive = math.exp(cosine(z[v, i], z[1 - v, i]) / tau)
        assert float(nt_xent(z, tau)[v, i]) == pytest.approx(-math.log(positive / sum(others)))


def test_nt_xent_laws():
    """Lengths and order do not matter, equal views are best, collapse costs log(2N - 1)."""
    z = rows(2, 5, 3)
    torch.testing.assert_close(nt_xent(7 * z, 0.1), nt_xent(z, 0.1))
    torch.testing.assert_close(nt_xent(z.flip(1), 0.1), nt_xent(z, 0.1).flip(1))
    torch.testing.assert_close(nt_xent(z.flip(0), 0.1), nt_xent(z, 0.1).flip(0))
    torch.testing.assert_close(
        nt_xent(torch.ones(2, 5, 3).double(), 0.1), torch.full((2, 5), math.log(9)).double()
    )
    eye = torch.eye(5).double().expand(2, 5, 5)
    assert float(nt_xent(eye, 0.1).max()) < 1e-3


def test_nt_xent_gradients():
    z = rows(2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: nt_xent(x, 0.5), z)
    assert torch.autograd.gradgradcheck(lambda x: nt_xent(x, 0.5), z)


def covariance_in_loops(z):
    n, d = z.shape
    mean = [sum(float(z[k, i]) for k in range(n)) / n for i in range(d)]
    return [
        [
            sum((float(z[k, i]) - mean[i]) * (float(z[k, j]) - mean[j]) for k in range(n)) / (n - 1)
            for j in range(d)
        ]
        for i in range(d)
    ]


@pytest.mark.parametrize('shape', [(7, 3), (3, 7), (4, 4)])
def test_vicreg_terms_against_loops(shape):
    """Tall batches by the covariance, wide embeddings by the Gram matrix."""
    z = 0.5 * rows(*shape)
    d = shape[1]
    c = covariance_in_loops(z)
    hinge = sum(max(0.0, 1 - math.sqrt(c[i][i] + 1e-4)) for i in range(d)) / d
    crossed = sum(c[i][j] ** 2 for i in range(d) for j in range(d) if i != j) / d
    assert float(variance_hinge(z)) == pytest.approx(hinge)
    assert float(off_diagonal_covariance(z)) == pytest.approx(crossed)


def test_vicreg_laws():
    """Neither depends on the mean; no covariance between independent dimensions."""
    z = rows(6, 4)
    for term in (variance_hinge, off_diagonal_covariance):
        torch.testing.assert_close(term(z + 5), term(z))
        torch.testing.assert_close(term(z.flip(0)), term(z))
    assert float(variance_hinge(100 * z)) == 0
    assert float(variance_hinge(torch.zeros(4, 3))) == pytest.approx(1 - 0.01)
    hadamard = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    assert float(off_diagonal_covariance(hadamard)) == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(off_diagonal_covariance(3 * z), 81 * off_diagonal_covariance(z))


@pytest.mark.parametrize('shape', [(5, 3), (3, 5)])
def test_vicreg_gradients(shape):
    z = (0.3 * rows(*shape)).requires_grad_()
    for term in (variance_hinge, off_diagonal_covariance):
        assert torch.autograd.gradcheck(term, z)
        assert torch.autograd.gradgradcheck(term, z)
    variance_hinge(torch.zeros(3, 2, requires_grad=True)).backward()


def test_a_collapsed_batch_has_finite_gradients():
    z = torch.zeros(3, 2, requires_grad=True)
    (variance_hinge(z) + off_diagonal_covariance(z)).backward()
    assert bool(torch.isfinite(z.grad).all())


def test_swapped_cross_entropy_against_loops():
    q, log_p = rows(2, 3, 4).softmax(-1), rows(5, 3, 4, seed=1).log_softmax(-1)
    for b in range(3):
        total = 0.0
        for a in range(2):
            for v in range(5):
                if v != a:
                    total -= sum(float(q[a, b, k] * log_p[v, b, k]) for k in range(4)) / 4
        assert float(swapped_cross_entropy(q, log_p)[b]) == pytest.approx(total / 2)


def test_swapped_cross_entropy_is_least_at_the_targets():
    """A view's own prediction is not compared with its own target."""
    q = rows(2, 3, 4).softmax(-1)
    best = swapped_cross_entropy(q, q.flip(0).log())
    assert bool((swapped_cross_entropy(q, q.log()) > best).all())
    log_p = rows(2, 3, 4, seed=2).log_softmax(-1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: swapped_cross_entropy(q, x), log_p)


def test_spherical_variance():
    one_way = rows(1, 3).expand(5, 3) * torch.arange(1, 6).unsqueeze(1)
    assert float(spherical_variance(one_way)) == pytest.approx(0, abs=1e-12)
    assert float(spherical_variance(torch.cat([one_way, -one_way]))) == pytest.approx(1)
    z = rows(2, 4, 3)
    mean = [sum(float(x[d] / x.norm()) for x in z.flatten(0, 1)) / 8 for d in range(3)]
    assert float(spherical_variance(z)) == pytest.approx(1 - math.sqrt(sum(m * m for m in mean)))


def test_inputs_are_left_alone():
    z, q, log_p = rows(2, 4, 3), rows(2, 4, 3).softmax(-1), rows(3, 4, 3).log_softmax(-1)
    before = z.clone(), q.clone(), log_p.clone()
    nt_xent(z, 0.1), variance_hinge(z[0]), off_diagonal_covariance(z[0]), spherical_variance(z)
    swapped_cross_entropy(q, log_p)
    assert all(torch.equal(x, y) for x, y in zip(before, (z, q, log_p)))

"""The claims and formulas of docs/hidden_prior.md, on the computations behind its figures."""

import numpy as np
import pytest
import torch
from mmssl_prior.tools.figures import rare_prototypes as rare
from mmssl_prior.tools.figures import sinkhorn_marginals as balance
from mmssl_prior.tools.figures import unequal_classes as unequal
from mmssl_prior.tools.figures import uniform_effect as uniform

from mmssl_prior.functional import (
    kl_divergence,
    nt_xent,
    off_diagonal_covariance,
    power_law_prior,
    sinkhorn,
    uniform_prior,
    variance_hinge,
)


class TestKMeans:
    def test_it_splits_the_large_cluster_and_the_others_do_not(self):
        found = uniform.compute(ratios=())
        kmeans, mixture, weighted = found['recovered'].values()
        assert kmeans[0] < 0.6 and min(kmeans[1:]) == 0
        assert mixture.min() > 0.95 and weighted.min() > 0.95
        true = np.array([uniform.RATIO, 1, 1]) / (uniform.RATIO + 2)
        np.testing.assert_allclose(found['weights'], true, atol=0.01)

    @pytest.mark.parametrize('ratio', [16, 64])
    def test_threshold(self, ratio):
        """Where the figure's formula says so, k-means changes its mind; a prior does not."""
        threshold = uniform.kmeans_threshold(ratio)
        assert uniform.splits_large(ratio, 0.93 * threshold)
        assert not uniform.splits_large(ratio, 1.07 * threshold)
        prior = torch.tensor([ratio, 1.0, 1.0])
        assert not uniform.splits_large(ratio, 1.05 * uniform.prior_threshold(ratio), prior)

    def test_formulas(self):
        """Halving a Gaussian saves 2 / pi of its variance; equal sizes agree in both formulas."""
        x = np.random.default_rng(0).normal(size=400_000)
        saved = x.var() - 0.5 * (x[x > 0].var() + x[x <= 0].var())
        assert saved == pytest.approx(2 / np.pi, abs=0.01)
        assert uniform.prior_threshold(1) == pytest.approx(uniform.kmeans_threshold(1), rel=1e-6)
        # Two clusters of mass q at distance d lose q d^2 / 2 by sharing a centre.
        assert 30 * (2 / np.pi) == pytest.approx(uniform.kmeans_threshold(30) ** 2 / 2)


@pytest.fixture(scope='module')
def found():
    return balance.compute()


class TestSinkhorn:
    def test_a_uniform_marginal_moves_the_total_variation(self, found):
        moved, bound = found['moved']['uniform marginal'], found['bound']['uniform marginal']
        sizes = found['sizes']
        assert bound == pytest.approx(float((sizes - 1 / 8).clamp_min(0).sum()))
        assert bound <= moved + 1e-3 and moved < bound + 0.01 and bound > 0.25
        uniform = found['marginals']['uniform marginal']
        torch.testing.assert_close(uniform, uniform_prior(8), atol=1e-3, rtol=0)

    def test_who_is_moved_where(self, found):
        """Images of large clusters, the least sure first, to prototypes of rare ones."""
        flow = found['flows']['uniform marginal']
        stay = flow.diagonal()
        assert stay[:2].max() < 0.75 and stay[2:].min() > 0.99
        away = flow[0, 1:]
        assert (away.diff() > 0)[2:].all() and away[-1] > 0.1
        assert found['margin_moved'] < found['margin_stayed'] - 1

    def test_a_marginal_of_the_sizes_moves_nobody(self, found):
        assert found['moved']['power-law marginal'] < 1e-3
        assert len(balance.draw(found).axes) == 4

    def test_the_bound_holds_for_any_assignment(self):
        """Total variation, for scores that are not confident at all."""
        log_q, labels, sizes = balance.assignments(seed=1, confidence=1.0)
        q = sinkhorn(log_q, uniform_prior(8).log(), 300).exp()
        moved = 1 - q[torch.arange(len(q)), labels].mean()
        assert moved >= balance.total_variation(sizes, uniform_prior(8)) - 1e-3


class TestSimCLR:
    def test_rare_classes_are_pushed_together(self):
        angles = [unequal.three_classes_by_formula(share) for share in (1 / 3, 0.5, 0.7, 0.9)]
        outer, inner = np.array(angles).T
        assert (outer[0], inner[0]) == pytest.approx((120, 120), abs=0.1)
        assert (np.diff(outer) > 0).all() and (np.diff(inner) < 0).all()
        assert inner[-1] == pytest.approx(80.3, abs=0.5)

    def test_the_formula_is_the_loss(self):
        """On many images, each class at its point, nt_xent is what the page writes."""
        share, angle, tau = 0.8, 2.2, unequal.TEMPERATURE
        labels = torch.repeat_interleave(torch.arange(3), torch.tensor([800, 100, 100]))
        angles = torch.tensor([0.0, angle, -angle], dtype=torch.float64)
        z = torch.stack([angles.cos(), angles.sin()], 1)[labels]
        q = np.array([share, (1 - share) / 2, (1 - share) / 2])
        points = torch.stack([angles.cos(), angles.sin()], 1).numpy()
        kernel = np.exp(points @ points.T / tau)
        expected = q @ np.log(2000 * kernel @ q) - 1 / tau
        assert float(nt_xent(torch.stack([z, z]), tau).mean()) == pytest.approx(expected, abs=2e-3)

    def test_optimised(self):
        found = unequal.three_classes(0.7)
        assert found == pytest.approx(unequal.three_classes_by_formula(0.7), abs=1)

    def test_a_class_spreads_where_its_share_of_the_denominator_exceeds_the_tie(self):
        _, _, spread, own = unequal.free_embeddings()
        assert own[0] > unequal.TIE > max(own[1:])
        assert spread[0] > 0.004 and spread[0] > 4 * max(spread[1:])


class TestVICReg:
    def test_distances_of_a_unit_covariance(self):
        """Centres built from the square roots of the sizes, as the page derives them."""
        sizes = torch.tensor(unequal.VICREG_SIZES).double()
        q = sizes / sizes.sum()
        projection = torch.eye(4).double() - torch.outer(q.sqrt(), q.sqrt())
        _, vectors = torch.linalg.eigh(projection)
        centers = vectors[:, 1:] / q.sqrt()[:, None]
        mean = q @ centers
        covariance = (centers - mean).T @ torch.diag(q) @ (centers - mean)
        torch.testing.assert_close(covariance, torch.eye(3).double(), atol=1e-9, rtol=0)
        torch.testing.assert_close(
            torch.cdist(centers, centers).square(), unequal.vicreg_distances(), rtol=1e-6, atol=1e-6
        )
        norms = (centers - mean).square().sum(1)
        torch.testing.assert_close(norms, (1 - q) / q)
        rows = centers[torch.repeat_interleave(torch.arange(4), sizes.long())]
        assert float(variance_hinge(rows)) == pytest.approx(0, abs=1e-3)
        assert float(off_diagonal_covariance(rows)) == pytest.approx(0, abs=1e-9)

    def test_optimised(self):
        distances, rows = unequal.vicreg_classes()
        torch.testing.assert_close(distances, unequal.vicreg_distances(), rtol=0.05, atol=0.01)
        assert float(unequal.vicreg_terms(rows)) < 0.1

    def test_a_bounded_dimension_splits_the_large_class(self):
        found = {share: unequal.bounded_vicreg(share) for share in (0.5, 0.9)}
        for share, (large, other, total) in found.items():
            assert large >= unequal.bounded_within(share, other, total) - 1e-6
        assert found[0.5][0] < 0.05 and found[0.9][0] > 0.4
        assert unequal.bounded_within(0.8) == pytest.approx(0)


class TestGradients:
    @pytest.mark.parametrize('seed', [0, 1])
    def test_formulas(self, seed):
        generator = torch.Generator().manual_seed(seed)
        p = torch.rand(6, generator=generator, dtype=torch.float64)
        p, prior = p / p.sum(), power_law_prior(6, 0.7)
        torch.testing.assert_close(rare.by_logit(p, prior), rare.by_autograd(p, prior))
        for formula, swap in ((rare.by_probability, False), (rare.reverse_by_probability, True)):
            free = p.clone().requires_grad_()
            pair = (prior.log(), free.log()) if swap else (free.log(), prior.log())
            kl_divergence(*pair).backward()
            torch.testing.assert_close(formula(p, prior), free.grad)
        logits = torch.randn(5, 6, generator=generator, dtype=torch.float64, requires_grad=True)
        predictions = logits.softmax(-1)
        kl_divergence(predictions.mean(0).log(), prior.log()).backward()
        torch.testing.assert_close(
            rare.by_logit_of_a_sample(predictions.detach(), prior), logits.grad
        )

    def test_msn_pulls_away_from_the_prior_and_pmsn_rests_there(self):
        found = rare.compute()
        assert found['pmsn'].abs().max() < 1e-12
        raised = found['msn'] < 0
        # Every prototype with a smaller share than the turning point, and no other.
        assert torch.equal(raised, found['prior'] < found['turn'])
        assert int(raised.sum()) == 58 and found['msn'][0] > 0.38

    def test_rarest(self):
        prior, u = power_law_prior(64, 1.0), uniform_prior(64)
        p = rare.with_rarest(float(prior[-1]), prior)
        torch.testing.assert_close(p, prior)
        assert float(rare.by_probability(p, prior)[-1]) == pytest.approx(1)
        assert float(rare.by_probability(p, u)[-1]) == pytest.approx(1 + np.log(64 * prior[-1]))
        p = rare.with_rarest(1e-6, prior)
        assert float(rare.by_probability(p, prior)[-1]) == pytest.approx(-7.10, abs=0.01)
        assert float(rare.reverse_by_probability(p, prior)[-1]) == pytest.approx(-3293.7, abs=0.1)


def test_a_figure_is_drawn_and_always_the_same(tmp_path, capsys):
    for folder in 'ab':
        assert rare.main(['--out', str(tmp_path / folder)]) == 0
    (first,), (second,) = ((tmp_path / folder).iterdir() for folder in 'ab')
    assert first.stat().st_size > 20_000 and first.read_bytes() == second.read_bytes()
    assert str(first) in capsys.readouterr().out

"""Prior-weighted k-means: its cost, its border, its limits."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans

from mmssl_prior.errors import UserError
from mmssl_prior.insight import prior_kmeans, prior_kmeans_from


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(80, 3)), rng.normal(size=(20, 3)) + 3])


def test_cost_is_the_joint_density(rows):
    """-2 sigma^2 log(pi N(x; mu, sigma^2)) by scipy, less a constant."""
    prior, variance = torch.tensor([0.7, 0.2, 0.1]), 0.8
    found = prior_kmeans(rows, prior, variance)
    joint = np.stack(
        [
            np.log(float(p)) + multivariate_normal(mu, variance * np.eye(3)).logpdf(rows)
            for p, mu in zip(prior, found.centers)
        ],
        1,
    )
    assert (joint.argmax(1) == found.labels).all()
    constant = 3 * variance * np.log(2 * np.pi * variance)
    expected = (-2 * variance * joint.max(1)).mean() - constant
    assert found.objective == pytest.approx(expected)


def test_uniform_prior_is_kmeans(rows):
    start = rows[[0, 50, 90]]
    ours = prior_kmeans_from(rows, start, torch.ones(3), 1.7)
    theirs = KMeans(3, init=start, n_init=1, tol=0).fit(rows)
    np.testing.assert_allclose(
        np.sort(ours.centers, 0), np.sort(theirs.cluster_centers_, 0), atol=1e-8
    )
    constant = 2 * 1.7 * np.log(3)
    assert ours.objective == pytest.approx(theirs.inertia_ / len(rows) + constant)


def test_vanishing_variance_is_kmeans(rows):
    start = rows[[0, 50, 90]]
    steep = torch.tensor([0.98, 0.01, 0.01])
    hard = prior_kmeans_from(rows, start, steep, 1e-9)
    plain = prior_kmeans_from(rows, start, torch.ones(3), 1.0)
    np.testing.assert_allclose(np.sort(hard.centers, 0), np.sort(plain.centers, 0))


def test_responsibilities_of_equal_weights_harden_to_the_nearest_centre(rows):
    """The mixture's posterior tends to k-means' assignment as its variance vanishes."""
    centers = rows[[0, 50, 90]]
    distances = torch.from_numpy(((rows[:, None] - centers) ** 2).sum(-1))
    soft = torch.softmax(-distances / (2 * 1e-4), -1)
    torch.testing.assert_close(soft.argmax(1), distances.argmin(1))
    assert (soft.max(1).values > 0.999).double().mean() > 0.97


def test_border():
    """Two centres at 0 and d: the border lies sigma^2 log(pi_1 / pi_2) / d beyond the middle."""
    prior, variance, d = torch.tensor([0.9, 0.1]), 0.5, 3.0
    line = np.linspace(0, d, 3001)
    costs = (line[:, None] - np.array([0, d])) ** 2 - 2 * variance * np.log(prior.numpy())
    border = line[(costs[:, 0] < costs[:, 1]).argmin()]
    assert border == pytest.approx(d / 2 + variance * np.log(9) / d, abs=2e-3)


def test_ranks_follow_sizes_and_the_objective_falls(rows):
    prior = torch.tensor([0.8, 0.15, 0.05])
    previous = np.inf
    for steps in range(1, 6):
        found = prior_kmeans_from(rows, rows[[90, 50, 0]], prior, 1.0, steps)
        assert found.objective <= previous + 1e-12
        previous = found.objective
    best = prior_kmeans(rows, prior, 1.0)
    assert best.objective <= previous
    assert (np.diff(np.bincount(best.labels, minlength=3)) <= 0).all()


def test_mistakes(rows):
    with pytest.raises(UserError, match='variance must be positive, got 0'):
        prior_kmeans(rows, torch.ones(3), 0)
    with pytest.raises(UserError, match='the prior must not increase'):
        prior_kmeans(rows, torch.tensor([0.1, 0.9]), 1.0)
    with pytest.raises(UserError, match='prior has shape'):
        prior_kmeans(rows[:2], torch.ones(3), 1.0)

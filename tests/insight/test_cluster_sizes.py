"""Sizes of clusters of features, and suggestions from them."""

import numpy as np
import pytest

from mmssl_prior.datasets import power_law_counts
from mmssl_prior.errors import UserError
from mmssl_prior.insight import (
    Clusters,
    ClusterSizes,
    Estimator,
    cluster_sizes,
    estimators,
    plot_cluster_sizes,
    principal_components,
    suggest_from_clusters,
)


def features(exponent, separation=14.0, images=500, clusters=6, seed=0):
    rng = np.random.default_rng(seed)
    sizes = power_law_counts(images, clusters, exponent)
    centers = rng.normal(size=(clusters, 12)) * separation / np.sqrt(24)
    return np.repeat(centers, sizes, 0) + rng.normal(size=(images, 12))


@pytest.fixture(scope='module')
def estimates():
    """All estimators on clusters of exponents 0 and 1, well apart."""
    found = {}
    for exponent in (0.0, 1.0):
        rows = principal_components(features(exponent), normalise=False)
        found[exponent] = [cluster_sizes(rows, e, 3) for e in estimators((6, 24), 12)]
    return found


@pytest.mark.parametrize('exponent', [0.0, 1.0])
def test_known_exponents(estimates, exponent):
    by_name = {entry.estimator: entry for entry in estimates[exponent]}
    for name in ('mixture, spherical', 'mixture, diagonal'):
        entry = by_name[name]
        assert entry.clusters == 6 and not entry.doubt and entry.stability > 0.95
        assert entry.exponent == pytest.approx(exponent, abs=0.1)
        assert entry.low <= exponent <= entry.high
    density = by_name['density (HDBSCAN)']
    # Clusters that come near each other are one to it.
    assert not density.doubt and density.low <= exponent <= density.high
    assert 'outside' in density.note


def test_kmeans_flattens_with_its_granularity(estimates):
    """The bias that is said: far more clusters than classes are nearly equal, whatever is true."""
    coarse, fine = estimates[1.0][:2]
    assert coarse.biased and fine.biased and fine.exponent < 0.6 < coarse.exponent + 0.3


def test_suggestion(estimates, tmp_path):
    made = suggest_from_clusters(estimates[1.0], 6)
    assert made.low < 1 < made.high and made.exponent == pytest.approx(1, abs=0.15)
    assert made.verdict.startswith(f'between {made.low:.2f} and {made.high:.2f} over 6 prototypes')
    assert f'exponent={made.exponent:g}' in made.lines[0]
    plot_cluster_sizes(tmp_path / 'a.png', estimates[1.0])
    assert (tmp_path / 'a.png').stat().st_size > 10_000


def entry(name, exponent, low, high, doubt='', biased=False):
    return ClusterSizes(
        name, biased, 20, np.arange(20, 0, -1), exponent, low, high, 0.0, 0.9, '', doubt
    )


def test_disagreement_is_said():
    apart = [entry('one', 0.2, 0.1, 0.3), entry('two', 0.9, 0.8, 1.0)]
    made = suggest_from_clusters([*apart, entry('k-means, 9', 3.0, 2.9, 3.1, biased=True)], 20)
    assert 'the estimates disagree: one 0.20 (0.10 to 0.30) over 20 clusters, two' in made.verdict
    # Lower end: the least, large classes divided more finely; upper end: the largest, not.
    assert made.low < 0.1 and made.high == pytest.approx(1.0)
    assert 'the estimates agree' in suggest_from_clusters([apart[0], apart[0]], 20).verdict
    # Intervals that only touch are no agreement.
    wide = [entry('one', 0.6, 0.0, 1.5), entry('two', 2.0, 1.4, 2.7)]
    assert 'the estimates disagree' in suggest_from_clusters(wide, 20).verdict
    doubtful = [apart[0], entry('two', 0.9, 0.8, 1.0, doubt='an accident')]
    made = suggest_from_clusters(doubtful, 20)
    assert 'a single estimate counts' in made.verdict
    assert 'left out: two (an accident)' in made.notes


def test_no_clusters_no_exponent():
    rows = principal_components(np.random.default_rng(0).normal(size=(300, 8)), normalise=False)
    found = [cluster_sizes(rows, e, 3) for e in estimators((5,), 10)]
    made = suggest_from_clusters(found, 64)
    assert made.exponent is None and made.verdict.startswith('no exponent: no estimate can be')
    assert 'not estimates' in made.notes[0] and 'UniformPrior' in made.lines[1]


def test_interval_by_hand():
    """Halves of an estimator whose sizes are known: mean, spread and Student's factor."""
    drawn = []

    def run(rows, seed):
        sizes = np.array([60, 30 + seed, 20]) if len(rows) == 100 else np.array([40, 10 + seed, 8])
        drawn.append(len(rows))
        return Clusters(np.zeros(len(rows), int), sizes)

    found = cluster_sizes(np.zeros((100, 2)), Estimator('known', False, run), 4)
    assert drawn == [100, 50, 50, 50, 50] and found.stability == 1 and not found.doubt
    exponents = [
        cluster_sizes(np.zeros((1, 1)), Estimator('', False, lambda *_, s=s: Clusters(
            np.zeros(1), np.array([40, 10 + s, 8]))), 0).exponent
        for s in (1, 2, 3, 4)
    ]  # fmt: skip
    width = 3.182446 * np.std(exponents, ddof=1)
    assert found.low <= max(found.exponent - width, 0) + 1e-9
    assert found.high >= found.exponent + width - 1e-6
    assert found.shift == pytest.approx(np.mean(exponents) - found.exponent)


def test_unstable_clusters_are_in_doubt():
    def run(rows, seed):
        labels = np.random.default_rng(seed).integers(0, 4, len(rows))
        return Clusters(labels, np.array([50, 30, 20]))

    found = cluster_sizes(np.zeros((100, 2)), Estimator('random', False, run), 3)
    assert 'half the images give other clusters' in found.doubt


@pytest.mark.parametrize(
    ('rows', 'message'),
    [
        (np.zeros((10, 3)), '10 images: cluster sizes need at least 50'),
        (np.ones((60, 3)), 'all features are equal: the encoder has collapsed'),
        (np.full((60, 3), np.nan), 'not finite'),
    ],
)
def test_useless_features(rows, message):
    with pytest.raises(UserError, match=message):
        principal_components(rows)

"""The measurement behind the errors in docs/choosing_a_prior.md, small."""

import pytest
from mmssl_prior.tools.figures import suggest_prior_errors as errors


def test_counts():
    (row,) = errors.count_errors([(100, 2000)], [0.25], repeats=6)
    assert row['raw'] > 0.28 and row['estimate'] == pytest.approx(0.25, abs=0.03)
    assert row['covered'] >= 0.6


def test_features():
    points = errors.gaussians(1.0, 14.0, 0, images=300, clusters=5)
    rows = errors.feature_errors([('apart', 1.0, points)], 2, (15,), 8)
    table = {row['estimator']: row for row in errors.summary(rows)}
    assert table['mixture, spherical']['mean'] == pytest.approx(1, abs=0.2)
    assert table['k-means, 15']['mean'] < 0.8 and table['k-means, 15']['counted'] == '0/1'
    counts = errors.count_errors([(10, 2000)], [0.25], repeats=2)
    assert len(errors.draw(dict(counts=counts, features=rows)).axes) == 3

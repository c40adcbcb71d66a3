"""Measures of collapse against plain loops, scikit-learn, scipy and values by hand."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.sparse.csgraph import connected_components
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from mmssl_prior.evaluation import covariance_spectrum, effective_rank, rankme
from mmssl_prior.functional import power_law_prior
from mmssl_prior.insight import (
    expected_distinct,
    measure_features,
    measure_prototypes,
    measure_usage,
    relative_distance,
    sum_predictions,
    total_norm,
)

K = 7
PRIOR = power_law_prior(K, 0.5)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_features_equal_numpy_and_rankme():
    for rows, width in ((40, 6), (5, 9)):
        features = random(rows, width) + 1
        health = measure_features(features)
        x = features.double().numpy()
        singular = np.linalg.svd(x, compute_uv=False)
        np.testing.assert_allclose(health.spectrum.numpy(), singular, rtol=1e-9)
        assert health.rankme == pytest.approx(rankme(features), rel=1e-9)
        lengths = np.linalg.norm(x, axis=1)
        assert health.norm == pytest.approx(lengths.mean())
        std = (x / lengths[:, None]).std(0).mean() * math.sqrt(width)
        assert health.std == pytest.approx(std, rel=1e-9)


def test_spectrum_of_few_samples_is_that_of_numpy():
    """Where the matrix of inner products is the smaller one."""
    x = random(5, 9).double()
    for centred in (True, False):
        rows = x - x.mean(0) if centred else x
        expected = np.zeros(9)
        expected[:5] = np.linalg.svd(rows.numpy(), compute_uv=False) ** 2 / 5
        np.testing.assert_allclose(covariance_spectrum(x, centred), expected, atol=1e-12)


def test_features_that_have_collapsed_or_diverged():
    same = measure_features(torch.ones(30, 8) * random(8))
    assert same.rankme == pytest.approx(1, abs=1e-4) and same.std == pytest.approx(0, abs=1e-6)
    zero = measure_features(torch.zeros(3, 4))
    assert (zero.rankme, zero.std, zero.norm) == (1.0, 0.0, 0.0)
    assert math.isnan(measure_features(torch.tensor([[1.0, math.inf]])).rankme)
    assert effective_rank(torch.ones(4)) == pytest.approx(4, abs=1e-4)


def test_usage_equals_plain_loops():
    batches = [(2 * random(n, K, seed=n)).log_softmax(-1) for n in (12, 30, 21)]
    usage = measure_usage([sum_predictions(batch) for batch in batches], PRIOR.log())
    p, last = torch.cat(batches).double().exp().numpy(), batches[-1].double().exp().numpy()
    p_bar, prior = p.mean(0), PRIOR.numpy()
    np.testing.assert_allclose(usage.p_bar.numpy(), p_bar, rtol=1e-9)
    first = [row.argmax() for row in p]
    np.testing.assert_allclose(usage.shares.numpy(), np.bincount(first, minlength=K) / len(p))
    assert usage.used == len(set(first)) and usage.images == 63
    assert usage.kl == pytest.approx(entropy(p_bar, prior), rel=1e-6)
    assert usage.total_variation == pytest.approx(sum(np.maximum(p_bar - prior, 0)), rel=1e-6)
    assert usage.effective == pytest.approx(math.exp(entropy(p_bar)), rel=1e-6)
    assert usage.entropy == pytest.approx(np.mean([entropy(row) for row in last]), rel=1e-6)
    told = np.mean([entropy(row, last.mean(0)) for row in last])
    assert usage.information == pytest.approx(told, rel=1e-6)


def test_information_of_certain_predictions_is_that_of_scikit_learn():
    """And that of one prediction for all images is 0."""
    labels = torch.tensor([0, 3, 3, 1, 6, 0, 0, 2])
    certain = torch.eye(K)[labels].log()
    usage = measure_usage([sum_predictions(certain)], PRIOR.log())
    expected = mutual_info_score(labels.tolist(), range(len(labels)))
    assert usage.information == pytest.approx(expected) and usage.entropy == 0
    assert (usage.used, usage.shares.tolist()) == (5, [3 / 8, 1 / 8, 1 / 8, 2 / 8, 0, 0, 1 / 8])
    same = measure_usage([sum_predictions(PRIOR.log().expand(9, K))], PRIOR.log())
    assert same.information == pytest.approx(0, abs=1e-6) and same.kl == pytest.approx(0, abs=1e-6)


def test_expected_number_of_prototypes_by_counting():
    """Over all ways in which 4 images can choose among 3 prototypes."""
    prior = torch.tensor([0.5, 0.3, 0.2])
    expected = sum(
        len(set(choice)) * math.prod(prior[k].item() for k in choice)
        for choice in itertools.product(range(3), repeat=4)
    )
    assert expected_distinct(prior.log(), 4) == pytest.approx(expected, rel=1e-6)
    assert expected_distinct(torch.zeros(1), 5) == pytest.approx(1)


def test_usage_of_another_number_of_prototypes():
    with pytest.raises(ValueError, match=r'1 batches, prior over \(7,\) prototypes'):
        measure_usage([sum_predictions(torch.zeros(2, 3))], PRIOR.log())
    with pytest.raises(ValueError, match='usage of 0 batches'):
        measure_usage([], PRIOR.log())


def test_prototypes_equal_a_loop_and_scipy():
    """Groups of duplicates: a chain, a pair of other lengths, and some alone."""
    temperature, step = 0.1, 0.09
    angles = [0.0, step, 2 * step, 3 * step, 1.5, 1.5, 3.0, 4.0]
    w = torch.tensor([[math.cos(a), math.sin(a)] for a in angles])
    w *= torch.arange(1.0, 9.0)[:, None]
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    measured = measure_prototypes(w[order], temperature)
    unit = w[order].double().numpy()
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosines = unit @ unit.T
    # No image tells twins apart by more than a nat.
    twins = np.linalg.norm(unit[:, None] - unit, axis=-1) / temperature <= 1
    assert measured.distinct == connected_components(twins)[0] == 4
    nearest = [max(cosines[i, j] for j in range(8) if j != i) for i in range(8)]
    np.testing.assert_allclose(measured.nearest.numpy(), nearest, atol=1e-6)
    assert measure_prototypes(random(50, 64), temperature).distinct == 50


def test_distances_by_hand():
    trained = [torch.tensor([[3.0, 0.0]]), torch.tensor([4.0])]
    assert total_norm(trained) == 5
    assert relative_distance([torch.tensor([[0.0, 0.0]]), torch.tensor([0.0])], trained) == 1
    assert relative_distance(trained, trained) == 0
    assert relative_distance([torch.ones(2)], [torch.zeros(2)]) == 1

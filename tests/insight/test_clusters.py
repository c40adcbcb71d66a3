"""Sizes of clusters and their agreement with classes: against scikit-learn and plain loops."""

import itertools
import json

import numpy as np
import pytest
import torch
from sklearn import metrics

from mmssl_prior.errors import UserError
from mmssl_prior.insight import agreement, effective_number, gini, group_shares, kmeans_clusters
from mmssl_prior.insight.agreement import contingency
from mmssl_prior.insight.clusters import cluster_numbers
from mmssl_prior.insight.frequency_groups import frequency_groups
from mmssl_prior.insight.measure import Gathered, measure_model
from mmssl_prior.insight.plane import choose_layout, neighbour_plane, pca_plane
from mmssl_prior.insight.shown import Settings, sample_shown


def drawn(seed, images=60, clusters=5, classes=4):
    rng = np.random.default_rng(seed)
    return rng.integers(0, clusters, images), rng.integers(0, classes, images)


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_agreement_is_that_of_scikit_learn(seed):
    clusters, labels = drawn(seed)
    found = agreement(clusters, labels)
    assert found.nmi == pytest.approx(metrics.normalized_mutual_info_score(labels, clusters))
    assert found.ari == pytest.approx(metrics.adjusted_rand_score(labels, clusters))
    table = metrics.cluster.contingency_matrix(labels, clusters)
    assert found.purity == pytest.approx(table.max(0).sum() / len(labels))


def test_agreement_on_pairs_by_a_loop():
    clusters, labels = drawn(3, images=25)
    pairs = list(itertools.combinations(range(25), 2))
    same = [(clusters[i] == clusters[j], labels[i] == labels[j]) for i, j in pairs]
    both = sum(a and b for a, b in same)
    first, second = (sum(pair[side] for pair in same) for side in (0, 1))
    expected = first * second / len(pairs)
    by_hand = (both - expected) / ((first + second) / 2 - expected)
    assert agreement(clusters, labels).ari == pytest.approx(by_hand)


def test_names_of_clusters_and_classes_do_not_matter():
    clusters, labels = drawn(4)
    renamed = np.array([3, 0, 9, 1, 4])[clusters]
    assert agreement(renamed, np.array([2, 0, 3, 1])[labels]) == pytest.approx(
        agreement(clusters, labels)
    )


@pytest.mark.parametrize(
    ('clusters', 'labels', 'expected'),
    [
        ([0, 0, 1, 1], [1, 1, 0, 0], (1, 1, 1)),
        ([0, 0, 0, 0], [0, 0, 1, 1], (0.5, 0, 0)),
        ([0, 0, 0], [2, 2, 2], (1, 1, 1)),
        ([0, 1, 2], [0, 1, 2], (1, 1, 1)),
    ],
    ids=['equal', 'one cluster', 'one of each', 'singletons'],
)
def test_limits_of_agreement(clusters, labels, expected):
    assert agreement(np.array(clusters), np.array(labels)) == pytest.approx(expected)


def test_pairs_of_a_million_images_do_not_overflow():
    clusters = np.arange(1_000_000) % 2
    assert agreement(clusters, clusters).ari == 1


@pytest.mark.parametrize(
    ('clusters', 'labels', 'words'),
    [([0, 1], [0], 'one length'), ([], [], 'non-empty'), ([0, -1], [0, 0], 'integers from 0')],
)
def test_wrong_assignments(clusters, labels, words):
    with pytest.raises(UserError, match=words):
        contingency(np.array(clusters, int), np.array(labels, int))


def test_gini_is_the_mean_difference():
    sizes = np.array([1, 4, 0, 7, 2])
    differences = [abs(a - b) for a in sizes for b in sizes]
    assert gini(sizes) == pytest.approx(np.mean(differences) / (2 * sizes.mean()))
    assert gini(3 * sizes) == pytest.approx(gini(sizes))


def test_effective_number_counts_equal_clusters():
    assert effective_number(np.full(7, 3)) == pytest.approx(7)
    assert effective_number(np.array([5, 0, 0])) == pytest.approx(1)


def blobs(images=300, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, images, p=[0.7, 0.2, 0.1])
    means = 4 * np.eye(3, 8)
    return torch.from_numpy((means[labels] + rng.normal(0, 0.3, (images, 8))).astype('f4')), labels


@pytest.mark.parametrize('fit_rows', [20_000, 100])
def test_kmeans_finds_separate_clusters(fit_rows):
    features, labels = blobs()
    lengths = torch.linspace(0.1, 9, len(features))[:, None]
    found = kmeans_clusters(features * lengths, 3, fit_rows=fit_rows)
    assert agreement(found.assignments.numpy(), labels).ari == 1
    assert found.fitted_on == min(fit_rows, 300)
    again = kmeans_clusters(features * lengths, 3, fit_rows=fit_rows)
    assert torch.equal(found.assignments, again.assignments)
    # The cosine with the centre of its members.
    unit = torch.nn.functional.normalize(features, dim=1)
    if fit_rows > 300:
        first = found.assignments == 0
        near = torch.cosine_similarity(unit[first], unit[first].mean(0, keepdim=True))
        torch.testing.assert_close(found.similarity[first], near, rtol=1e-4, atol=1e-4)


def test_more_clusters_than_images():
    with pytest.raises(UserError, match='9 clusters of 4 images'):
        kmeans_clusters(torch.eye(4), 9)


def test_few_images_have_few_clusters():
    assert cluster_numbers(9) == [1] and cluster_numbers(2000, 50) == [10, 30, 50, 100]


def test_groups_by_bounds_by_thirds_and_of_equal_classes():
    by_bounds = frequency_groups(np.array([101, 100, 20, 19, 0]))
    assert by_bounds.of_class.tolist() == [0, 1, 1, 2, -1] and '100' in by_bounds.rule
    thirds = frequency_groups(np.array([40, 0, 90, 60, 50, 70, 80]))
    assert thirds.of_class.tolist() == [2, -1, 0, 1, 2, 1, 0] and 'third' in thirds.rule
    assert set(frequency_groups(np.array([500] * 9)).of_class) == {1}
    given = frequency_groups(np.array([500] * 9), 2, 400)
    assert set(given.of_class) == {0}


@pytest.mark.parametrize(('bounds', 'words'), [((5, None), 'both bounds'), ((9, 3), 'overlap')])
def test_wrong_groups(bounds, words):
    with pytest.raises(UserError, match=words):
        frequency_groups(np.array([3, 2]), *bounds)


def test_shares_of_groups_by_a_loop():
    clusters, labels = drawn(6, images=80, classes=6)
    table = contingency(clusters, labels)
    groups = frequency_groups(table.sum(0), 12, 14)
    shares = group_shares(table, groups)
    for number, name in enumerate(('head', 'medium', 'tail')):
        own = [c for c in range(6) if groups.of_class[c] == number]
        majority = [int(np.bincount(labels[clusters == k], minlength=6).argmax()) for k in range(5)]
        assert shares[name]['images'] == pytest.approx(np.isin(labels, own).mean())
        assert shares[name]['clusters'] == pytest.approx(np.mean([c in own for c in majority]))
        found = [
            np.mean([majority[k] == c for k, label in zip(clusters, labels) if label == c])
            for c in own
        ]
        assert shares[name]['found'] == (pytest.approx(np.mean(found)) if own else None)
    assert sum(share['clusters'] for share in shares.values()) == pytest.approx(1)


def test_a_class_whose_images_cannot_be_decoded_is_in_no_group():
    # Three of the tail have been counted; of one of them no image has come through.
    groups = frequency_groups(np.array([30, 2, 2, 4]), 5, 20)
    shares = group_shares(np.array([[30, 0, 1, 0], [0, 2, 0, 0]]), groups)
    assert shares['tail']['found'] == pytest.approx((1 + 0) / 2)
    assert shares['tail']['classes'] == pytest.approx(2 / 3)
    groups = frequency_groups(np.array([30, 1]), 5, 20)
    assert group_shares(np.array([[30, 0]]), groups)['tail']['found'] is None


def test_principal_components_are_those_of_scikit_learn():
    from sklearn.decomposition import PCA

    features, _ = blobs(50)
    unit = torch.nn.functional.normalize(features, dim=1).double().numpy()
    fitted = PCA(2).fit(unit)
    plane = pca_plane(features, torch.arange(10))
    expected = fitted.transform(unit[:10])
    assert plane.explained == pytest.approx(fitted.explained_variance_ratio_, rel=1e-4)
    np.testing.assert_allclose(abs(plane.points.numpy()), abs(expected), atol=1e-4)


def test_a_plane_of_neighbours_is_the_same_each_time():
    features, _ = blobs(40)
    one, two = (neighbour_plane(features, torch.arange(40), 'tsne') for _ in range(2))
    assert torch.equal(one.points, two.points) and torch.isfinite(one.points).all()
    assert neighbour_plane(features, torch.arange(4), 'tsne') is None


@pytest.mark.parametrize('layout', ['tsne', 'umap'])
def test_a_collapsed_encoder_has_no_plane_of_neighbours(layout):
    # Of which t-SNE would end the process.
    assert neighbour_plane(torch.ones(40, 8), torch.arange(40), layout) is None
    noise = 1e-8 * torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    assert neighbour_plane(torch.ones(40, 8) + noise, torch.arange(40), layout) is None
    assert neighbour_plane(torch.randn(40, 1), torch.arange(40), layout) is None


def test_a_single_image_has_no_neighbours_and_no_holes():
    labels = np.array([0])
    settings = Settings(layout='pca')
    shown, _ = sample_shown(1, labels, settings)
    gathered = Gathered(torch.ones(1, 4), labels, 1, frequency_groups(np.array([1])))
    result = measure_model(gathered, shown, settings)
    assert 'same_class' not in result['retrieval']
    assert 'NaN' not in json.dumps(result)


def test_clusters_of_a_collapsed_encoder(recwarn):
    found = kmeans_clusters(torch.ones(40, 8), 4)
    assert found.assignments.unique().numel() == 1 and found.fitted_on == 40
    assert not [str(warning.message) for warning in recwarn]


def test_layouts(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    assert choose_layout('auto') == 'tsne' and choose_layout('pca') == 'pca'
    with pytest.raises(UserError, match='pip install umap-learn'):
        choose_layout('umap')
    with pytest.raises(UserError, match='unknown layout'):
        choose_layout('mds')

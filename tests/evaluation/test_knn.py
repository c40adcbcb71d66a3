import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional as F

from mmssl_prior.evaluation import knn_classify, nearest_neighbors
from tests.evaluation.toy import reference_knn


def _data(queries=37, bank=101, width=6, classes=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(queries, width, generator=generator),
        torch.randn(bank, width, generator=generator) * 10,
        torch.randint(classes, (bank,), generator=generator),
    )


def test_hand_value():
    # Cosines 1, 0.8 and 0.6: one vote of e^(1/0.5) against e^(0.8/0.5) + e^(0.6/0.5).
    bank = torch.tensor([[5.0, 0.0], [0.8, 0.6], [6.0, -8.0]])
    query, labels = torch.tensor([[1.0, 0.0]]), torch.tensor([1, 0, 0])
    similarity, index = nearest_neighbors(query, bank, 3)
    torch.testing.assert_close(similarity, torch.tensor([[1.0, 0.8, 0.6]]))
    assert index.tolist() == [[0, 1, 2]]
    assert np.exp(2) < np.exp(1.6) + np.exp(1.2)
    assert knn_classify(query, bank, labels, 3, temperature=0.5)[3].tolist() == [0]
    assert np.exp(10) > np.exp(8) + np.exp(6)
    assert knn_classify(query, bank, labels, 3, temperature=0.1)[3].tolist() == [1]


@pytest.mark.parametrize('chunks', [(1024, 16384), (10, 7), (1, 1), (37, 100)])
def test_equals_plain_loops_for_any_chunks(chunks):
    queries, bank, labels = _data()
    found = knn_classify(queries, bank, labels, [1, 10, 50, 101], 0.07, *chunks)
    assert list(found) == [1, 10, 50, 101]
    for k, predictions in found.items():
        torch.testing.assert_close(predictions, reference_knn(queries, bank, labels, k, 0.07))
    similarity, index = nearest_neighbors(queries, bank, 9, *chunks)
    every = F.cosine_similarity(queries[:, None].double(), bank[None].double(), 2)
    expected = every.sort(1, descending=True)
    torch.testing.assert_close(similarity, expected.values[:, :9].float())
    torch.testing.assert_close(index, expected.indices[:, :9])


@pytest.mark.parametrize('k', [1, 5, 20])
def test_equals_scikit_learn(k):
    queries, bank, labels = _data(seed=1)
    reference = KNeighborsClassifier(
        k, metric='cosine', algorithm='brute', weights=lambda d: np.exp((1 - d) / 0.07)
    )
    expected = reference.fit(bank.double(), labels).predict(queries.double())
    assert knn_classify(queries, bank, labels, k)[k].tolist() == expected.tolist()


@pytest.mark.parametrize('chunk', [1, 2, 3, 5, 100])
def test_of_equal_neighbors_the_lower_index_and_of_equal_votes_the_lower_label_wins(chunk):
    # One-hot rows: the similarities are exactly 0, 1 or -1 on any machine.
    bank = torch.eye(3)[[1, 0, 1, 0, 0, 2, 1]]
    bank[5] *= -1
    queries = torch.eye(3)[[0, 2]]
    similarity, index = nearest_neighbors(queries, bank, 5, bank_chunk=chunk)
    assert index.tolist() == [[1, 3, 4, 0, 2], [0, 1, 2, 3, 4]]
    assert similarity.tolist() == [[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]]
    labels = torch.tensor([3, 4, 3, 2, 2, 1, 0])
    assert knn_classify(queries, bank, labels, [1, 2], bank_chunk=chunk)[2].tolist() == [2, 3]


def test_negative_similarities_are_ordered():
    bank = torch.tensor([[-1.0, 0.0], [-1.0, 1.0], [-1.0, 0.1], [-1.0, -0.5]])
    similarity, index = nearest_neighbors(torch.tensor([[1.0, 0.0]]), bank, 4, bank_chunk=2)
    assert index.tolist() == [[1, 3, 2, 0]]
    expected = F.cosine_similarity(torch.tensor([[1.0, 0.0]]), bank[index[0]])
    torch.testing.assert_close(similarity[0], expected)


def test_invariances_and_inputs_left_alone():
    queries, bank, labels = _data(seed=2)
    copies = queries.clone(), bank.clone(), labels.clone()
    expected = knn_classify(queries, bank, labels, [10])[10]
    torch.testing.assert_close((queries, bank, labels), copies)
    order = torch.randperm(len(bank), generator=torch.Generator().manual_seed(3))
    assert (
        knn_classify(queries * 7, bank[order] / 3, labels[order], 10)[10].tolist()
        == expected.tolist()
    )


def test_small_temperature_does_not_overflow_and_gives_the_nearest():
    queries, bank, labels = _data(seed=4)
    nearest = nearest_neighbors(queries, bank, 1)[1][:, 0]
    assert knn_classify(queries, bank, labels, 20, 1e-6)[20].tolist() == labels[nearest].tolist()


def test_no_queries():
    _, bank, labels = _data()
    assert knn_classify(bank[:0], bank, labels, [1, 2])[2].tolist() == []
    assert nearest_neighbors(bank[:0], bank, 3)[1].shape == (0, 3)


def test_bad_input():
    queries, bank, labels = _data(bank=10)
    with pytest.raises(ValueError, match=r'k = 20 neighbours of a bank of 10 samples'):
        knn_classify(queries, bank, labels, [10, 20])
    with pytest.raises(ValueError, match='k = 0'):
        nearest_neighbors(queries, bank, 0)
    with pytest.raises(ValueError, match='k is empty'):
        knn_classify(queries, bank, labels, [])
    with pytest.raises(ValueError, match='temperature must be positive'):
        knn_classify(queries, bank, labels, 1, 0.0)
    with pytest.raises(ValueError, match=r'\(37, 6\) and \(10, 5\)'):
        nearest_neighbors(queries, bank[:, 1:], 1)
    with pytest.raises(ValueError, match='bank_labels must be 10 integers'):
        knn_classify(queries, bank, labels[1:], 1)
    with pytest.raises(ValueError, match='negative'):
        knn_classify(queries, bank, labels - 1 - labels.min(), 1)
    bank[3, 2] = float('nan')
    with pytest.raises(ValueError, match='bank hold features that are not finite'):
        knn_classify(queries, bank, labels, 1)


def test_memory_does_not_grow_with_the_bank(monkeypatch):
    largest = 0
    topk = torch.Tensor.topk

    def spy(tensor, *args, **kwargs):
        nonlocal largest
        largest = max(largest, tensor.numel())
        return topk(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, 'topk', spy)
    nearest_neighbors(torch.randn(64, 4), torch.randn(5000, 4), 10, query_chunk=8, bank_chunk=100)
    assert largest == 8 * 100

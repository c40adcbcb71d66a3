import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from mmssl_prior.evaluation import class_mean_top1, shot_group_top1, top1


def test_agree_with_scikit_learn_on_imbalanced_labels():
    generator = torch.Generator().manual_seed(0)
    labels = torch.multinomial(torch.tensor([0.7, 0.2, 0.0, 0.1]), 200, True, generator=generator)
    predictions = torch.where(torch.rand(200, generator=generator) < 0.4, 0, labels)
    assert top1(predictions, labels) == pytest.approx(accuracy_score(labels, predictions))
    expected = balanced_accuracy_score(labels, predictions)
    assert class_mean_top1(predictions, labels) == pytest.approx(expected)
    assert class_mean_top1(predictions, labels) != pytest.approx(top1(predictions, labels))


@pytest.mark.parametrize('measure', [top1, class_mean_top1])
@pytest.mark.parametrize('shapes', [((3,), (2,)), ((0,), (0,)), ((2, 2), (2, 2))])
def test_shapes_are_checked(measure, shapes):
    with pytest.raises(ValueError, match='vectors of one length'):
        measure(*(torch.zeros(shape, dtype=torch.int64) for shape in shapes))


def test_shot_groups_at_and_around_their_bounds():
    counts = torch.tensor([101, 100, 20, 19, 0])
    labels = torch.tensor([0, 0, 1, 2, 2, 3, 4])
    right = torch.tensor([1, 0, 1, 1, 0, 0, 1], dtype=torch.bool)
    groups = shot_group_top1(torch.where(right, labels, 99), labels, counts)
    assert groups == (0.5, (1 + 0.5) / 2, (0 + 1) / 2)
    other = shot_group_top1(labels, labels, counts, many_above=19, few_below=20)
    assert other == (1.0, None, 1.0)


def test_shot_groups_refuse_what_they_cannot_score():
    labels = torch.tensor([0, 5])
    with pytest.raises(ValueError, match='3 classes, but there is a label 5'):
        shot_group_top1(labels, labels, torch.tensor([1, 2, 3]))
    with pytest.raises(ValueError, match='overlap'):
        shot_group_top1(labels, labels, torch.ones(6), many_above=10, few_below=20)

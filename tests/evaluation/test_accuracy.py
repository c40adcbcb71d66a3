import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from mmssl_prior.evaluation import class_mean_top1, top1


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

"""Top-1 accuracies of predicted labels."""

import torch
from torch import Tensor

from ..errors import UserError

__all__ = ['class_mean_top1', 'top1']


def top1(predictions: Tensor, labels: Tensor) -> float:
    """Share of right predictions.

    Args:
        predictions: Labels of shape (N,).
        labels: Labels of shape (N,).

    Returns:
        A fraction in [0, 1].

    Raises:
        ValueError: If the shapes differ or are empty.

    Example:
        >>> top1(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 2]))
        0.75
    """
    _check(predictions, labels)
    return (predictions == labels).double().mean().item()


def class_mean_top1(predictions: Tensor, labels: Tensor) -> float:
    r"""Mean over classes of each class's accuracy.

    .. math:: \frac{1}{|C|} \sum_{c \in C} \frac{1}{n_c} \sum_{i: y_i = c} [\hat y_i = c]

    with C the classes that occur in ``labels``; every class counts the same,
    however many samples it has.

    Args:
        predictions: Labels of shape (N,).
        labels: Labels of shape (N,).

    Returns:
        A fraction in [0, 1].

    Raises:
        ValueError: If the shapes differ or are empty.

    Example:
        >>> class_mean_top1(torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 0, 2]))
        0.5
    """
    _check(predictions, labels)
    _, index, sizes = labels.unique(return_inverse=True, return_counts=True)
    right = torch.zeros(len(sizes), dtype=torch.float64, device=labels.device)
    right.index_add_(0, index, (predictions == labels).double())
    return (right / sizes).mean().item()


def _check(predictions: Tensor, labels: Tensor) -> None:
    if predictions.shape != labels.shape or labels.ndim != 1 or not len(labels):
        raise UserError(
            'predictions and labels must be non-empty vectors of one length, got '
            f'shapes {tuple(predictions.shape)} and {tuple(labels.shape)}'
        )

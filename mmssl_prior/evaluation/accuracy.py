"""Top-1 accuracies of predicted labels."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import UserError

__all__ = ['ShotGroups', 'class_mean_top1', 'shot_group_top1', 'top1']


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


class ShotGroups(NamedTuple):
    """Class-mean top-1 of each group, a fraction in [0, 1]; None for a group without classes."""

    many: float | None
    medium: float | None
    few: float | None


def shot_group_top1(
    predictions: Tensor,
    labels: Tensor,
    train_counts: Tensor,
    many_above: int = 100,
    few_below: int = 20,
) -> ShotGroups:
    """Class-mean top-1 by how often a class occurs in the training set.

    Many-shot classes have more than ``many_above`` training images, few-shot
    ones fewer than ``few_below``, medium-shot ones neither; both bounds count
    as medium. Within a group every class counts the same.

    Args:
        predictions: Labels of shape (N,).
        labels: Labels of shape (N,).
        train_counts: Training images of each class, shape (C,); above every
            label.
        many_above: Upper bound of medium-shot.
        few_below: Lower bound of medium-shot.

    Raises:
        ValueError: If shapes differ, the bounds overlap, or a label has no
            count.

    References:
        Liu et al., Large-Scale Long-Tailed Recognition in an Open World,
        CVPR 2019.

    Example:
        >>> counts, labels = torch.tensor([500, 100, 19]), torch.tensor([0, 1, 1, 2])
        >>> shot_group_top1(torch.tensor([0, 1, 0, 0]), labels, counts)
        ShotGroups(many=1.0, medium=0.5, few=0.0)
    """
    _check(predictions, labels)
    if few_below > many_above + 1:
        raise UserError(
            f'few_below={few_below} and many_above={many_above} overlap: a class could be in both '
            'groups'
        )
    if labels.max() >= len(train_counts):
        raise UserError(
            f'train_counts has {len(train_counts)} classes, but there is a label {labels.max()}'
        )
    counts = train_counts.to(labels.device)[labels]
    many, few = counts > many_above, counts < few_below
    return ShotGroups(
        *(
            class_mean_top1(predictions[group], labels[group]) if group.any() else None
            for group in (many, ~(many | few), few)
        )
    )


def _check(predictions: Tensor, labels: Tensor) -> None:
    if predictions.shape != labels.shape or labels.ndim != 1 or not len(labels):
        raise UserError(
            'predictions and labels must be non-empty vectors of one length, got '
            f'shapes {tuple(predictions.shape)} and {tuple(labels.shape)}'
        )

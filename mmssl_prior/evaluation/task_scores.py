"""All scores of one task from the features of its two splits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine import dist
from torch import Tensor

from ..errors import UserError
from .accuracy import class_mean_top1, shot_group_top1, top1
from .knn import knn_classify
from .low_shot import low_shot, low_shot_features, sample_subset
from .representation import covariance_spectrum, rankme, uniformity

__all__ = ['ScoreSettings', 'TaskFeatures', 'accuracies', 'knn_scores', 'low_shot_scores', 'score']

ROWS = 8192
UNIFORMITY_IMAGES = 10_000  # the cost is that of all pairs


@dataclass(frozen=True)
class TaskFeatures:
    """Features (N, D), which may be memory-mapped, and labels (N,), of both splits."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


@dataclass(frozen=True)
class ScoreSettings:
    """What is scored, and how.

    Args:
        ks: Numbers of neighbours; those above the size of the bank are left
            out.
        temperature: Of k-NN.
        shots: Images of each class in the low-shot subsets.
        share: Of each class, in one more kind of subset.
        subsets: Number of subsets of each kind, seeded 0, 1, ...
        l2: Grid of lambdas of the low-shot regression.
        groups: Few-shot classes have fewer training images than the first,
            many-shot ones more than the second.
    """

    ks: tuple[int, ...] = (10, 20, 100, 200)
    temperature: float = 0.07
    shots: tuple[int, ...] = (1, 2, 5)
    share: float = 0.01
    subsets: int = 3
    l2: tuple[float, ...] = (0.00025, 0.0025, 0.075)
    groups: tuple[int, int] = (20, 100)


def accuracies(
    predictions: Tensor, labels: Tensor, counts: Tensor | None, groups: tuple[int, int]
) -> dict[str, Any]:
    """Top-1, its mean over classes, and by group where classes fall into several.

    Example:
        >>> y = torch.tensor([0, 0, 1])
        >>> accuracies(torch.tensor([0, 0, 0]), y, torch.tensor([200, 5]), (20, 100))['groups']
        {'many': 1.0, 'medium': None, 'few': 0.0}
    """
    scores: dict[str, Any] = dict(
        top1=top1(predictions, labels), class_mean_top1=class_mean_top1(predictions, labels)
    )
    if counts is not None:
        few, many = groups
        grouped = shot_group_top1(predictions, labels, counts, many, few)._asdict()
        if sum(value is not None for value in grouped.values()) > 1:
            scores['groups'] = grouped
    return scores


def knn_scores(features: TaskFeatures, settings: ScoreSettings, device: str) -> dict[str, float]:
    """Top-1 of weighted k-NN for each k; the ranks share the queries."""
    ks = [k for k in settings.ks if k <= len(features.train_x)]
    if not ks:
        return {}
    rank, world = dist.get_dist_info()
    own = torch.arange(rank, len(features.test_x), world)
    bank = features.train_x
    predictions = knn_classify(
        features.test_x[own].to(device), bank, features.train_y, ks, settings.temperature
    )
    right = {k: int((predictions[k].cpu() == features.test_y[own]).sum()) for k in ks}
    parts = dist.all_gather_object(right)
    return {str(k): sum(part[k] for part in parts) / len(features.test_x) for k in ks}


def low_shot_scores(
    features: TaskFeatures,
    settings: ScoreSettings,
    num_classes: int,
    device: str,
    published: np.ndarray | None = None,
    said: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Low-shot top-1 by kind of subset ('1', '2', '5', '1%', 'list'): one entry for each lambda.

    A kind that the data cannot fill says why instead.
    """
    kinds: dict[str, dict] = {str(shots): dict(shots=shots) for shots in settings.shots}
    kinds[f'{100 * settings.share:g}%'] = dict(share=settings.share)
    labels = features.train_y.numpy()
    subsets: dict[str, list[np.ndarray]] = {}
    results: dict[str, Any] = {}
    for kind, amount in kinds.items():
        try:
            subsets[kind] = [
                sample_subset(labels, seed=seed, **amount) for seed in range(settings.subsets)
            ]
        except UserError as error:
            results[kind] = dict(skipped=str(error))
    if published is not None:
        subsets['list'] = [published]
    test_x = low_shot_features(features.test_x.float()).to(device)
    for kind, positions in subsets.items():
        # A few rows of what may be a large file.
        rows = np.unique(np.concatenate(positions))
        fitted = low_shot(
            low_shot_features(features.train_x[torch.from_numpy(rows)].float()).to(device),
            features.train_y[torch.from_numpy(rows)].to(device),
            test_x,
            features.test_y,
            [np.searchsorted(rows, subset) for subset in positions],
            settings.l2,
            num_classes,
        )
        results[kind] = [entry._asdict() for entry in fitted]
        for entry in fitted:
            if not entry.converged:
                said(f'low-shot, {kind}, lambda {entry.l2:g}: the regression has not converged')
    return results


def score(
    features: TaskFeatures,
    num_classes: int,
    linear: Callable[[], tuple[Tensor, dict[str, Any]]] | None,
    settings: ScoreSettings | None = None,
    counts: Tensor | None = None,
    device: str = 'cpu',
    published: np.ndarray | None = None,
    said: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Every score of a task.

    Args:
        features: Of both splits.
        num_classes: Classes of the task.
        linear: Trains the linear probe; returns its predictions on the test
            split and the scores of every head. None where another trains it.
        settings: What is scored.
        counts: Images of each class that the encoder was trained on; by
            default those of the task's training split.
        device: Where distances and regressions are computed.
        published: Positions of a published low-shot list.
        said: Is told what comes next.

    Returns:
        What results.json holds of the task: 'linear', 'knn', 'low_shot',
        'rankme', 'spectrum', 'uniformity', and the sizes. Scores are fractions in [0, 1].

    Raises:
        UserError: If a feature is not finite or a label out of range.
    """
    settings = settings or ScoreSettings()
    _check(features, num_classes)
    if counts is None:
        counts = torch.bincount(features.train_y, minlength=num_classes)
    scores: dict[str, Any] = {}
    if linear is not None:
        said('linear probe')
        predictions, heads = linear()
        scores['linear'] = accuracies(
            predictions.cpu(), features.test_y, counts, settings.groups
        ) | dict(heads=heads)
    said('k-NN')
    scores['knn'] = knn_scores(features, settings, device)
    said('low-shot')
    scores['low_shot'] = low_shot_scores(features, settings, num_classes, device, published, said)
    said('spectrum')
    scores['rankme'] = rankme(features.train_x)
    scores['spectrum'] = [float(f'{x:.6g}') for x in covariance_spectrum(features.train_x)]
    if len(features.test_x) > 1:
        rows = features.test_x[_sample(len(features.test_x), UNIFORMITY_IMAGES)]
        scores['uniformity'] = uniformity(rows.float().to(device))
    scores.update(
        train_images=len(features.train_x),
        test_images=len(features.test_x),
        width=features.train_x.shape[1],
    )
    return scores


def _sample(size: int, limit: int) -> Tensor:
    """Sorted positions of all of ``size`` images, or of as many as the limit, always the same."""
    if size <= limit:
        return torch.arange(size)
    chosen = np.random.default_rng(0).choice(size, limit, replace=False)
    return torch.from_numpy(np.sort(chosen))


def _check(features: TaskFeatures, num_classes: int) -> None:
    for split in ('train', 'test'):
        x, y = getattr(features, f'{split}_x'), getattr(features, f'{split}_y')
        if not all(torch.isfinite(rows).all() for rows in x.split(ROWS)):
            raise UserError(
                f'the features of the {split} split are not finite: the model has diverged'
            )
        if y.min() < 0 or y.max() >= num_classes:
            raise UserError(
                f'the {split} split has labels from {int(y.min())} to {int(y.max())}, outside the '
                f'{num_classes} classes of the task'
            )

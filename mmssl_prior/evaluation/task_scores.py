"""All scores of one task from the features of its two splits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from mmengine import dist
from torch import Tensor

from ..errors import UserError
from .accuracy import shot_group_top1, top1
from .knn import knn_classify
from .low_shot import PublishedLists, low_shot, low_shot_features, sample_subset
from .representation import covariance_spectrum, rankme, uniformity

__all__ = [
    'MEASURES',
    'ScoreSettings',
    'TaskFeatures',
    'fixed_sample',
    'knn_scores',
    'low_shot_scores',
    'score',
]

#: What can be left out; alignment needs two more passes over the test images.
MEASURES = ('linear', 'knn', 'low-shot', 'spectrum', 'alignment')
ROWS = 8192
UNIFORMITY_IMAGES = 10_000  # the cost is that of all pairs


@dataclass(frozen=True)
class TaskFeatures:
    """Features (N, D), which may be memory-mapped, and labels (N,), of both splits.

    And by name further features for the linear probe, of the training and of
    the test split.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    more: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


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
        measures: Of ``MEASURES``; 'spectrum' is RankMe too, 'alignment'
            uniformity too.
    """

    ks: tuple[int, ...] = (10, 20, 100, 200)
    temperature: float = 0.07
    shots: tuple[int, ...] = (1, 2, 5)
    share: float = 0.01
    subsets: int = 3
    l2: tuple[float, ...] = (0.00025, 0.0025, 0.075)
    groups: tuple[int, int] = (20, 100)
    measures: tuple[str, ...] = MEASURES


def knn_scores(
    features: TaskFeatures,
    settings: ScoreSettings,
    device: str,
    counts: Tensor | None = None,
) -> tuple[dict[str, float], dict[str, dict[str, float | None]]]:
    """Weighted k-NN for each k; the ranks share the queries.

    Returns:
        Top-1 by k, and by k the mean top-1 of many, medium and few-shot
        classes; the latter is empty without counts, and where all classes are
        of one group.
    """
    ks = [k for k in settings.ks if k <= len(features.train_x)]
    if not ks:
        return {}, {}
    rank, world = dist.get_dist_info()
    own = torch.arange(rank, len(features.test_x), world)
    found = knn_classify(
        features.test_x[own].to(device),
        features.train_x,
        features.train_y,
        ks,
        settings.temperature,
    )
    parts = dist.all_gather_object({k: labels.cpu() for k, labels in found.items()})
    scores, groups = {}, {}
    for k in ks:
        predictions = torch.empty_like(features.test_y)
        for other, part in enumerate(parts):
            predictions[other::world] = part[k]
        scores[str(k)] = top1(predictions, features.test_y)
        if counts is not None:
            few, many = settings.groups
            grouped = shot_group_top1(predictions, features.test_y, counts, many, few)._asdict()
            if sum(value is not None for value in grouped.values()) > 1:
                groups[str(k)] = grouped
    return scores, groups


def low_shot_scores(
    features: TaskFeatures,
    settings: ScoreSettings,
    num_classes: int,
    device: str,
    published: PublishedLists | None = None,
    said: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Low-shot top-1 by kind of subset ('1', '2', '5', '1%'): one entry for each lambda.

    Published lists are kinds of their own ('published 1', 'published 1%'): all
    lists of a kind give one mean and one standard deviation. A kind that the
    data cannot fill says why instead.
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
    for kind, lists in (published or {}).items():
        subsets[f'published {kind}'] = list(lists.values())
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
    linear: Callable[[], dict[str, Any]] | None,
    settings: ScoreSettings | None = None,
    counts: Tensor | None = None,
    device: str = 'cpu',
    published: PublishedLists | None = None,
    said: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Every score of a task.

    Args:
        features: Of both splits.
        num_classes: Classes of the task.
        linear: Trains the linear probe; returns its entry. None where another
            trains it.
        settings: What is scored.
        counts: Training images of each class, for the groups of k-NN; by
            default those of the task's training split.
        device: Where distances and regressions are computed.
        published: Published low-shot lists.
        said: Is told what comes next.

    Returns:
        What results.json holds of the task: 'linear', 'knn', 'knn_groups',
        'low_shot', 'rankme', 'spectrum', 'uniformity', as far as they are
        among the measures, and the sizes. Scores are fractions in [0, 1].

    Raises:
        UserError: If a feature is not finite or a label out of range.
    """
    settings = settings or ScoreSettings()
    _check(features, num_classes)
    if counts is None:
        counts = torch.bincount(features.train_y, minlength=num_classes)
    scores: dict[str, Any] = {}
    if linear is not None and 'linear' in settings.measures:
        said('linear probe')
        scores['linear'] = linear()
    if 'knn' in settings.measures:
        said('k-NN')
        scores['knn'], scores['knn_groups'] = knn_scores(features, settings, device, counts)
    if 'low-shot' in settings.measures:
        said('low-shot')
        scores['low_shot'] = low_shot_scores(
            features, settings, num_classes, device, published, said
        )
        if published:
            lists = {f'published {kind}': list(x) for kind, x in published.items()}
            scores['low_shot_lists'] = lists
    if 'spectrum' in settings.measures:
        said('spectrum')
        scores['rankme'] = rankme(features.train_x)
        scores['spectrum'] = [float(f'{x:.6g}') for x in covariance_spectrum(features.train_x)]
    if 'alignment' in settings.measures and len(features.test_x) > 1:
        rows = features.test_x[fixed_sample(len(features.test_x), UNIFORMITY_IMAGES)]
        scores['uniformity'] = uniformity(rows.float().to(device))
    scores.update(
        train_images=len(features.train_x),
        test_images=len(features.test_x),
        width=features.train_x.shape[1],
    )
    return scores


def fixed_sample(size: int, limit: int) -> Tensor:
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

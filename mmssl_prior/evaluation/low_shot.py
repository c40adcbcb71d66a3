"""Classification from few labelled images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError, printable
from .accuracy import top1
from .logistic_regression import LogisticRegression

__all__ = [
    'LowShot',
    'PublishedLists',
    'low_shot',
    'low_shot_features',
    'read_subset',
    'read_subsets',
    'sample_subset',
]

#: Positions by list, by kind of subset.
PublishedLists = Mapping[str, Mapping[str, np.ndarray]]


class LowShot(NamedTuple):
    """Top-1 of one value of lambda: mean and standard deviation over subsets, and each.

    And whether every regression reached its minimum.
    """

    l2: float
    mean: float
    std: float
    top1: list[float]
    converged: bool


def low_shot_features(features: Tensor) -> Tensor:
    """Features as MSN's low-shot protocol takes them: each centred, then of unit length.

    The centre is the mean over the feature's own entries.

    Example:
        >>> low_shot_features(torch.tensor([[1., 3.]]))
        tensor([[-0.7071,  0.7071]])
    """
    return F.normalize(features - features.mean(1, keepdim=True), dim=1)


def sample_subset(
    labels: Sequence[int] | np.ndarray,
    shots: int | None = None,
    share: float | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Positions of a fixed subset: a number of images of each class, or a share of each.

    Class by class without replacement; a class's draw depends on the seed,
    its label and its images alone. A share keeps at least one image of each
    class and rounds to the nearest number, halves up.

    Args:
        labels: Of all training images.
        shots: Images of each class; this or share.
        share: Of each class, in (0, 1].
        seed: Names the subset.

    Returns:
        Sorted positions.

    Raises:
        ValueError: If not exactly one of shots and share is given, or a class
            has fewer images than shots.

    Example:
        >>> sample_subset([0, 0, 0, 1, 1], shots=1).tolist()
        [2, 4]
    """
    if (shots is None) == (share is None):
        raise UserError('sample_subset: give either shots or share')
    if shots is not None and shots < 1:
        raise UserError(f'sample_subset: shots must be at least 1, got {shots}')
    if share is not None and not 0 < share <= 1:
        raise UserError(f'sample_subset: share must be in (0, 1], got {share}')
    labels = np.asarray(labels)
    chosen = []
    for label in np.unique(labels):
        positions = np.flatnonzero(labels == label)
        count = shots or max(1, int((share or 0) * len(positions) + 0.5))
        if count > len(positions):
            raise UserError(
                f'sample_subset: class {label} has {len(positions)} images, fewer than the '
                f'{count} asked for'
            )
        rng = np.random.default_rng([seed, int(label)])
        chosen.append(rng.choice(positions, count, replace=False))
    return np.sort(np.concatenate(chosen))


def read_subset(path: str | Path, names: Sequence[str]) -> np.ndarray:
    """Positions of the images that a published list names, one file name a line.

    Names are compared without their folders, as such lists are written.

    Args:
        path: The list.
        names: Paths of all training images.

    Raises:
        UserError: If the file is missing or empty, or a name is unknown, twice
            in the list, or that of several images; the line is named.
    """
    shown = printable(path)
    try:
        lines = Path(path).read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'subset {shown}: cannot be read: {error}') from error
    places: dict[str, int] = {}
    ambiguous = set()
    for position, name in enumerate(names):
        base = Path(name).name
        if base in places:
            ambiguous.add(base)
        places[base] = position
    chosen: dict[int, int] = {}
    for number, line in enumerate(lines, 1):
        base = Path(line.strip()).name
        if not base:
            continue
        if base not in places:
            raise UserError(f'subset {shown}, line {number}: no training image is named {base}')
        if base in ambiguous:
            raise UserError(f'subset {shown}, line {number}: several images are named {base}')
        if places[base] in chosen:
            raise UserError(
                f'subset {shown}, line {number}: {base} is already in line {chosen[places[base]]}'
            )
        chosen[places[base]] = number
    if not chosen:
        raise UserError(f'subset {shown}: the list is empty')
    return np.array(sorted(chosen))


def read_subsets(
    paths: Sequence[str | Path], names: Sequence[str], labels: Sequence[int] | np.ndarray
) -> dict[str, dict[str, np.ndarray]]:
    """Published lists by their kind, which is seen from what they hold.

    A list with the same number of images of each of its classes is of that
    kind ('1', '5'), another one of its share of all training images ('1%').

    Args:
        paths: The lists, as for :func:`read_subset`.
        names: Paths of all training images.
        labels: Their labels.

    Returns:
        Positions by file, by kind.

    Raises:
        UserError: As :func:`read_subset`, or if two lists hold the same images.
    """
    labels = np.asarray(labels)
    found: dict[str, dict[str, np.ndarray]] = {}
    same: dict[bytes, str] = {}
    for path in map(str, paths):
        chosen = read_subset(path, names)
        other = same.setdefault(chosen.tobytes(), path)
        if other != path:
            raise UserError(
                f'subset {printable(path)}: holds the same images as {printable(other)}: a mean '
                'over both would count them twice'
            )
        sizes = np.unique(np.bincount(labels[chosen]))
        sizes = sizes[sizes > 0]
        kind = str(sizes[0]) if len(sizes) == 1 else f'{100 * len(chosen) / len(labels):.2g}%'
        found.setdefault(kind, {})[path] = chosen
    return found


def low_shot(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    subsets: Sequence[np.ndarray],
    l2: Sequence[float] = (0.00025, 0.0025, 0.075),
    num_classes: int | None = None,
) -> list[LowShot]:
    """Top-1 of logistic regression trained on each subset, for each value of lambda.

    Choosing the best lambda by this test score would be choosing on the test
    set: report the grid, or a value fixed before.

    Args:
        train_x: Features of all training images, shape (N, D), e.g. those of
            :func:`low_shot_features`.
        train_y: Shape (N,).
        test_x: Shape (M, D).
        test_y: Shape (M,).
        subsets: Positions in the training set, one array for each subset.
        l2: Grid of lambdas of :class:`LogisticRegression`. By default MSN's
            default, its README's and its author's.
        num_classes: By default the largest label and one.

    Returns:
        One entry for each lambda. The standard deviation is that of the
        sample (0 for one subset).

    Raises:
        ValueError: If there is no subset or no lambda, or as
            :class:`LogisticRegression`.
    """
    if not len(subsets) or not len(l2):
        raise UserError('low_shot needs at least one subset and one l2')
    classes = num_classes or int(max(train_y.max(), test_y.max())) + 1
    results = []
    for strength in l2:
        scores, converged = [], True
        for subset in subsets:
            positions = torch.as_tensor(subset)
            model = LogisticRegression(strength).fit(
                train_x[positions], train_y[positions], classes
            )
            converged &= model.converged
            predictions = torch.cat([model.predict(chunk) for chunk in test_x.split(8192)])
            scores.append(top1(predictions.cpu(), test_y.cpu()))
        spread = float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
        results.append(LowShot(strength, float(np.mean(scores)), spread, scores, converged))
    return results

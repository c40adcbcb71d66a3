"""What a report shows, and how much of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ['Settings', 'Shown', 'sample_shown']


@dataclass(frozen=True)
class Settings:
    """How much a report shows, and how it is computed.

    Args:
        clusters: Numbers of clusters for k-means; None chooses them.
        groups: Bounds of tail and head, in images of a class; None for 20 and
            100, or thirds where these do not part the classes.
        gallery: Prototypes (or clusters) of which to show images.
        per_prototype: Images of each.
        points: Images on the plane.
        queries: Images whose neighbours are shown.
        neighbours: Of each.
        attended: Images whose attention is shown.
        layout: 'pca' for that alone, 'tsne', 'umap', or 'auto'.
        seed: Of samples, k-means and layouts.
    """

    clusters: tuple[int, ...] | None = None
    groups: tuple[int, int] | None = None
    gallery: int = 32
    per_prototype: int = 8
    points: int = 1500
    queries: int = 8
    neighbours: int = 8
    attended: int = 6
    layout: str = 'auto'
    seed: int = 0


@dataclass(frozen=True)
class Shown:
    """Positions of the images that all models of a report show."""

    points: Tensor
    queries: Tensor


def sample_shown(
    rows: int, labels: np.ndarray | None, settings: Settings
) -> tuple[Shown, Sequence[int]]:
    """The images that all models show, and those of them whose attention is shown.

    Points are a random sample. Queries are one image of each of some classes,
    from the most to the least frequent; without labels random ones.

    Args:
        rows: Number of images.
        labels: Of each, or None.
        settings: Of the report.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    drawn = torch.randperm(rows, generator=generator)
    points = drawn[: settings.points].sort().values
    if labels is None:
        queries = drawn[: settings.queries]
    else:
        counts = np.bincount(labels)
        order = np.argsort(-counts, kind='stable')[: (counts > 0).sum()]
        places = np.linspace(0, len(order) - 1, min(settings.queries, len(order))).round()
        shuffled = labels[drawn.numpy()]
        queries = torch.stack(
            [drawn[int(np.argmax(shuffled == order[int(place)]))] for place in places]
        )
    attended = np.linspace(0, len(queries) - 1, min(settings.attended, len(queries))).round()
    return Shown(points, queries), [int(queries[int(i)]) for i in attended]

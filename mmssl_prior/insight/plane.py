"""Features laid out on a plane."""

import importlib
import importlib.util
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError
from .clusters import FIT_ROWS, normalized_sample

__all__ = ['LAYOUTS', 'Plane', 'choose_layout', 'pca_plane', 'neighbour_plane']

LAYOUTS = ('auto', 'pca', 'tsne', 'umap')
WIDTH = 50  # of what the layouts of neighbours start from
FEW = 10  # points, below which there are no neighbourhoods to show
SPREAD = 1e-6  # of rows of length 1 in single precision, below which it is rounding


class Plane(NamedTuple):
    """Points (n, 2), and for PCA the share of the variance that each axis shows."""

    points: Tensor
    explained: tuple[float, ...]


def choose_layout(layout: str) -> str:
    """What 'auto' means: UMAP where ``umap-learn`` is installed, else t-SNE.

    Raises:
        UserError: If the layout is unknown or UMAP is not installed.
    """
    if layout not in LAYOUTS:
        raise UserError(f'unknown layout {layout!r}: choose one of {", ".join(LAYOUTS)}')
    installed = importlib.util.find_spec('umap') is not None
    if layout == 'umap' and not installed:
        raise UserError('UMAP is not installed: pip install umap-learn, or choose another layout')
    return ('umap' if installed else 'tsne') if layout == 'auto' else layout


@torch.no_grad()
def pca_plane(features: Tensor, shown: Tensor, axes: int = 2, fit_rows: int = FIT_ROWS) -> Plane:
    """Principal components of features of length 1, seen from the mean.

    Each axis points to where its largest entry is positive, so that the
    picture does not flip from one machine to another.

    Args:
        features: Shape (N, D); the components are those of at most
            ``fit_rows`` of them.
        shown: Rows to lay out, shape (n,).
        axes: How many components.
        fit_rows: Size of the sample.

    Example:
        >>> rows = torch.tensor([[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]])
        >>> [round(share, 2) for share in pca_plane(rows, torch.arange(3)).explained]
        [0.5, 0.5]
    """
    sample = normalized_sample(features, fit_rows).double()
    mean = sample.mean(0)
    sample = sample - mean
    values, vectors = torch.linalg.eigh(sample.T @ sample / len(sample))
    count = min(axes, len(values))
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)[:, :count]
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    vectors = vectors * torch.where(largest < 0, -1.0, 1.0)
    points = (F.normalize(features[shown].float(), dim=1).double() - mean) @ vectors
    if count < axes:
        points = F.pad(points, (0, axes - count))
    shares = values[:count] / values.sum().clamp_min(torch.finfo(torch.float64).tiny)
    return Plane(points.float(), tuple(shares.tolist()))


def neighbour_plane(features: Tensor, shown: Tensor, layout: str, seed: int = 0) -> Plane | None:
    """t-SNE or UMAP of the first 50 principal components of the rows shown.

    One thread and a fixed seed: the same picture each time.

    Args:
        features: Shape (N, D).
        shown: Rows to lay out, shape (n,).
        layout: 'tsne' or 'umap'.
        seed: Of the layout.

    Returns:
        None for fewer than ten points, or points of a collapsed encoder that
        all lie in one place: they have no neighbourhoods.
    """
    axes = min(WIDTH, features.shape[1], len(shown))
    if len(shown) < FEW or axes < 2:
        return None
    rows = pca_plane(features, shown, axes).points.numpy()
    if rows.std(0).max() < SPREAD:
        # scikit-learn's t-SNE divides by the spread, and ends the process on what comes of it.
        return None
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        if layout == 'umap':
            umap = importlib.import_module('umap')
            near = min(15, len(shown) - 1)
            points = umap.UMAP(n_neighbors=near, random_state=seed, n_jobs=1).fit_transform(rows)
        else:
            from sklearn.manifold import TSNE

            perplexity = min(30.0, (len(shown) - 1) / 3)
            points = TSNE(
                perplexity=perplexity, init='pca', random_state=seed, n_jobs=1
            ).fit_transform(rows)
    return Plane(torch.from_numpy(np.ascontiguousarray(points, np.float32)), ())

"""Clusters of features, and how unequal their sizes are."""

import warnings
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError

__all__ = ['KMeansClusters', 'cluster_numbers', 'effective_number', 'gini', 'kmeans_clusters']

CHUNK = 4096
#: More rows than this are clustered by centres that were found on so many of them.
FIT_ROWS = 20_000
ITERATIONS = 100


class KMeansClusters(NamedTuple):
    """Clusters of all rows.

    Attributes:
        assignments: Cluster of each row, shape (N,).
        similarity: Cosine of each row with its centre, shape (N,).
        fitted_on: Number of rows that the centres were found on.
    """

    assignments: Tensor
    similarity: Tensor
    fitted_on: int


def kmeans_clusters(
    features: Tensor, k: int, seed: int = 0, fit_rows: int = FIT_ROWS
) -> KMeansClusters:
    """k-means on features scaled to length 1, in bounded memory.

    Lloyd's algorithm from one k-means++ start, on all rows or on a random
    sample of ``fit_rows``; every row then goes to the nearest centre. One
    thread, so that the result depends on nothing but the arguments.

    Args:
        features: Shape (N, D); may be memory-mapped, it is read in pieces.
        k: Number of clusters, 1 <= k <= N.
        seed: Of the sample and the start.
        fit_rows: Size of the sample; at least k.

    Raises:
        UserError: If k is outside its range.

    Example:
        >>> rows = torch.tensor([[1., 0.], [2., 0.], [0., 1.]])
        >>> kmeans_clusters(rows, 2).assignments.bincount().sort().values.tolist()
        [1, 2]
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    rows = min(len(features), fit_rows)
    if not 1 <= k <= rows:
        raise UserError(f'k-means: {k} clusters of {rows} images; the number must be 1 to {rows}')
    sample = normalized_sample(features, fit_rows, seed).numpy()
    with threadpool_limits(limits=1), warnings.catch_warnings():
        # Of fewer distinct rows than clusters, as a collapsed encoder has: the sizes show it.
        warnings.simplefilter('ignore', ConvergenceWarning)
        fitted = KMeans(k, n_init=1, max_iter=ITERATIONS, random_state=seed).fit(sample)
    centres = torch.from_numpy(np.ascontiguousarray(fitted.cluster_centers_, np.float32))
    assignments, similarity = [], []
    for chunk in features.split(CHUNK):
        unit = F.normalize(chunk.float(), dim=1)
        nearest = (centres.square().sum(1) - 2 * unit @ centres.T).argmin(1)
        assignments.append(nearest)
        similarity.append(F.cosine_similarity(unit, centres[nearest]))
    return KMeansClusters(torch.cat(assignments), torch.cat(similarity), rows)


def normalized_sample(features: Tensor, rows: int, seed: int = 0) -> Tensor:
    """Rows of length 1, float32: all of them or a random sample, in their order."""
    if len(features) > rows:
        generator = torch.Generator().manual_seed(seed)
        features = features[torch.randperm(len(features), generator=generator)[:rows].sort().values]
    return F.normalize(features.float(), dim=1)


def cluster_numbers(images: int, classes: int | None = None) -> list[int]:
    """Numbers of clusters to look at: 10, 30 and 100, and the number of classes.

    At least ten images fall on a cluster on average; of few images one tenth
    of them is the only number.

    Example:
        >>> cluster_numbers(2400, 16), cluster_numbers(120), cluster_numbers(64)
        ([10, 16, 30, 100], [10], [6])
    """
    wanted = {10, 30, 100} | ({classes} if classes else set())
    return sorted(k for k in wanted if 2 <= k <= images // 10) or [max(1, images // 10)]


def effective_number(sizes: np.ndarray) -> float:
    r"""Number of equal clusters that would have the same entropy.

    .. math:: \exp\Bigl(-\sum_k p_k \log p_k\Bigr), \qquad p_k = n_k / N

    Args:
        sizes: Numbers >= 0 of shape (K,), not all 0.

    Example:
        >>> round(effective_number(np.array([5, 5, 0])), 6)
        2.0
    """
    shares = np.asarray(sizes, np.float64) / np.sum(sizes)
    positive = shares[shares > 0]
    return float(np.exp(-(positive * np.log(positive)).sum()))


def gini(sizes: np.ndarray) -> float:
    r"""Gini coefficient of sizes: 0 if all are equal, near 1 if one has everything.

    .. math::
        \frac{\sum_i (2 i - K - 1) \, n_{(i)}}{K \sum_i n_{(i)}},
        \qquad n_{(1)} \le \dots \le n_{(K)}

    Args:
        sizes: Numbers >= 0 of shape (K,), not all 0.

    Example:
        >>> gini(np.array([1, 1, 1])), gini(np.array([0, 0, 0, 8]))
        (0.0, 0.75)
    """
    ordered = np.sort(np.asarray(sizes, np.float64))
    weights = 2 * np.arange(1, len(ordered) + 1) - len(ordered) - 1
    return float((weights * ordered).sum() / (len(ordered) * ordered.sum()))

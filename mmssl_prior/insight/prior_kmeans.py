"""K-means with a prior over the sizes of its clusters."""

from typing import NamedTuple

import numpy as np
from torch import Tensor

from ..errors import UserError
from ..functional import validate_prior

__all__ = ['PriorKMeans', 'prior_kmeans', 'prior_kmeans_from']


class PriorKMeans(NamedTuple):
    """A clustering; cluster k has rank k in the prior.

    Attributes:
        centers: Shape (K, D).
        labels: Shape (N,).
        objective: Mean cost of a sample.
    """

    centers: np.ndarray
    labels: np.ndarray
    objective: float


def prior_kmeans(
    rows: np.ndarray,
    prior: Tensor,
    variance: float,
    restarts: int = 10,
    seed: int = 0,
) -> PriorKMeans:
    r"""Cluster by the classification likelihood of a Gaussian mixture of fixed weights.

    The joint density of a sample x and its component k, of weight
    :math:`\pi_k` and covariance :math:`\sigma^2 I`, is
    :math:`\pi_k (2 \pi \sigma^2)^{-D/2} e^{-\|x - \mu_k\|^2 / 2 \sigma^2}`.
    Its logarithm times :math:`-2 \sigma^2`, less what is the same for all k:

    .. math:: d_k(x) = \|x - \mu_k\|^2 - 2 \sigma^2 \log \pi_k, \qquad
              J = \frac{1}{N} \sum_n \min_k d_k(x_n)

    Each step lowers J: samples go to the least cost, centres to the mean of
    their samples, and the ranks of the prior to the clusters in the order of
    their sizes. With a uniform prior the second term is a constant and this
    is k-means; so is the limit :math:`\sigma \to 0`. The border between two
    clusters stays perpendicular to the line of their centres, and lies
    :math:`\sigma^2 \log(\pi_j / \pi_k) / \|\mu_j - \mu_k\|` from its middle.

    Args:
        rows: Shape (N, D).
        prior: pi, shape (K,), positive, non-increasing.
        variance: sigma^2 > 0, of a cluster in each dimension.
        restarts: Initialisations by k-means++, of which the best counts.
        seed: Of the initialisations.

    Raises:
        UserError: If the variance is not positive, the prior increases, or
            there are fewer rows than clusters.

    Example:
        >>> import torch
        >>> rows = np.array([[0.0], [0.2], [0.4], [3.0]])
        >>> found = prior_kmeans(rows, torch.tensor([.75, .25]), 0.1)
        >>> found.labels.tolist(), found.centers.round(1).ravel().tolist()
        ([0, 0, 0, 1], [0.2, 3.0])
    """
    from sklearn.cluster import kmeans_plusplus

    runs = []
    for restart in range(restarts):
        clusters = min(len(prior), len(rows))
        centers, _ = kmeans_plusplus(rows, clusters, random_state=seed + restart)
        runs.append(prior_kmeans_from(rows, centers, prior, variance))
    return min(runs, key=lambda run: run.objective)


def prior_kmeans_from(
    rows: np.ndarray, centers: np.ndarray, prior: Tensor, variance: float, steps: int = 300
) -> PriorKMeans:
    """As :func:`prior_kmeans`, from given centres in any order.

    Args:
        rows: Shape (N, D).
        centers: Shape (K, D).
        prior: Shape (K,).
        variance: sigma^2.
        steps: At most.
    """
    weights = validate_prior(prior, len(centers)).numpy()
    if variance <= 0:
        raise UserError(f'variance must be positive, got {variance}')
    if (np.diff(weights) > 0).any():
        raise UserError('the prior must not increase: cluster k has rank k')
    offset = -2 * variance * np.log(weights)
    labels = _distances(rows, centers).argmin(1)
    previous = np.inf
    for _ in range(steps):
        sizes = np.bincount(labels, minlength=len(centers))
        sums = np.stack(
            [np.bincount(labels, column, minlength=len(centers)) for column in rows.T], 1
        )
        # A cluster without samples keeps its centre.
        filled = sizes > 0
        centers = np.where(filled[:, None], sums / np.maximum(sizes, 1)[:, None], centers)
        centers = centers[np.argsort(-sizes, kind='stable')]
        costs = _distances(rows, centers) + offset
        labels = costs.argmin(1)
        objective = float(costs.min(1).mean())
        if objective >= previous - 1e-12:
            break
        previous = objective
    return PriorKMeans(centers, labels, objective)


def _distances(rows: np.ndarray, centers: np.ndarray) -> np.ndarray:
    return ((rows[:, None] - centers) ** 2).sum(-1)

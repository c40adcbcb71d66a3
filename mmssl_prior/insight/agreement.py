"""How well clusters agree with classes."""

import math
from typing import NamedTuple

import numpy as np

from ..errors import UserError

__all__ = [
    'Agreement',
    'adjusted_rand_index',
    'agreement',
    'contingency',
    'normalized_mutual_information',
    'purity',
]


class Agreement(NamedTuple):
    """Measures of one clustering against the classes; formulas at the functions of their names."""

    purity: float
    nmi: float
    ari: float


def contingency(clusters: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Number of images n_kc of each cluster k and class c, int64 of shape (K, C).

    K and C are one more than the largest index that occurs.

    Args:
        clusters: Integers >= 0 of shape (N,).
        labels: Integers >= 0 of shape (N,).

    Raises:
        UserError: If these are no two vectors of one length, N > 0.

    Example:
        >>> contingency(np.array([0, 0, 2]), np.array([1, 1, 0])).tolist()
        [[0, 2], [0, 0], [1, 0]]
    """
    clusters, labels = np.asarray(clusters, np.int64), np.asarray(labels, np.int64)
    if clusters.ndim != 1 or clusters.shape != labels.shape or not len(clusters):
        raise UserError(
            'clusters and labels must be non-empty vectors of one length, got shapes '
            f'{clusters.shape} and {labels.shape}'
        )
    if min(clusters.min(), labels.min()) < 0:
        raise UserError('clusters and labels are integers from 0')
    shape = int(clusters.max()) + 1, int(labels.max()) + 1
    cells = np.bincount(clusters * shape[1] + labels, minlength=shape[0] * shape[1])
    return cells.reshape(shape)


def purity(table: np.ndarray) -> float:
    r"""Share of images that are of the most frequent class of their cluster.

    .. math:: \frac{1}{N} \sum_k \max_c n_{kc}

    It is 1 for clusters of one image each, so compare it at equal numbers of
    clusters only.

    Example:
        >>> purity(np.array([[3, 1], [0, 4]]))
        0.875
    """
    return float(table.max(1).sum() / table.sum())


def normalized_mutual_information(table: np.ndarray) -> float:
    r"""Mutual information of cluster and class, over the mean of their entropies.

    .. math:: \frac{2 I(k; c)}{H(k) + H(c)}

    Between 0 (the cluster says nothing of the class) and 1; 1 also if there
    are one cluster and one class. It is not corrected for chance, which
    favours many clusters.

    Example:
        >>> normalized_mutual_information(np.array([[2, 0], [0, 2]]))
        1.0
    """
    joint = table / table.sum()
    rows, columns = joint.sum(1), joint.sum(0)
    entropies = _entropy(rows) + _entropy(columns)
    if entropies == 0:
        return 1.0
    shared = max(entropies - _entropy(joint.ravel()), 0.0)
    return 2 * shared / entropies


def adjusted_rand_index(table: np.ndarray) -> float:
    r"""Agreement on pairs of images, corrected for chance.

    .. math::
        \frac{A - E}{\frac{1}{2} (P_k + P_c) - E}, \qquad
        A = \sum_{kc} \binom{n_{kc}}{2}, \quad
        P_k = \sum_k \binom{n_k}{2}, \quad P_c = \sum_c \binom{n_c}{2}, \quad
        E = \frac{P_k P_c}{\binom{N}{2}}

    0 is what a random clustering of these sizes has on average, 1 is
    equality; where both are trivial (one cluster, or one image each), 1.

    References:
        Hubert and Arabie, Comparing Partitions, Journal of Classification,
        1985.

    Example:
        >>> round(adjusted_rand_index(np.array([[2, 0], [1, 1]])), 4)
        0.0
    """
    total = _pairs(table.sum())
    together, rows, columns = (
        _pairs(table).sum(),
        _pairs(table.sum(1)).sum(),
        _pairs(table.sum(0)).sum(),
    )
    if rows == columns and rows in (0, total):
        return 1.0
    expected = rows * columns / total
    return float((together - expected) / ((rows + columns) / 2 - expected))


def agreement(clusters: np.ndarray, labels: np.ndarray) -> Agreement:
    """Purity, NMI and ARI of a clustering.

    Args:
        clusters: Integers >= 0 of shape (N,).
        labels: Integers >= 0 of shape (N,).

    Example:
        >>> agreement(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]))
        Agreement(purity=1.0, nmi=1.0, ari=1.0)
    """
    table = contingency(clusters, labels)
    return Agreement(
        purity(table), normalized_mutual_information(table), adjusted_rand_index(table)
    )


def _pairs(counts: np.ndarray) -> np.ndarray:
    # In floating point: the product of two such numbers passes 64 bits at 100,000 images.
    counts = np.asarray(counts, np.float64)
    return counts * (counts - 1) / 2


def _entropy(shares: np.ndarray) -> float:
    positive = shares[shares > 0]
    return math.fsum(-positive * np.log(positive))

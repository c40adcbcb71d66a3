"""Class sizes of long-tailed training sets."""

import numpy as np

__all__ = ['long_tailed_counts', 'power_law_counts']


def power_law_counts(num_images, num_classes, exponent):
    r"""Integer class sizes that follow a power law and sum exactly.

    .. math::
        n_r \approx N\,r^{-a} / \sum_j j^{-a}, \qquad
        n_r \ge 1, \qquad \sum_r n_r = N

    Every rank gets one image; the rest is shared by largest remainder in
    proportion to what each quota exceeds one by, so that sizes never grow
    with the rank. Where every quota is at least one, no size differs from
    its quota by one or more.

    Args:
        num_images (int): Total N, at least ``num_classes``.
        num_classes (int): Number of ranks.
        exponent (float): The power a; 0 is balanced.

    Returns:
        np.ndarray: int64 sizes by rank, largest first.

    >>> power_law_counts(100, 4, 1.0).tolist()
    [48, 24, 16, 12]
    """
    weights = np.arange(1, num_classes + 1, dtype=np.float64) ** -exponent
    excess = np.maximum(num_images * weights / weights.sum() - 1, 0)
    rest = num_images - num_classes
    if rest == 0:
        return np.ones(num_classes, np.int64)
    share = excess * (rest / excess.sum())
    # Ties in exact arithmetic must not be broken by rounding noise.
    share = np.round(share, 9)
    extra = np.floor(share).astype(np.int64)
    order = np.argsort(extra - share, kind='stable')
    extra[order[: rest - extra.sum()]] += 1
    return 1 + extra


def long_tailed_counts(num_images, num_classes, exponent, class_seed):
    """Power-law class sizes, dealt to the classes in a random order.

    Args:
        num_images (int): Total, at least ``num_classes``.
        num_classes (int): Number of classes.
        exponent (float): The power; 0 is balanced.
        class_seed (int): Seed of the order: which class is frequent.

    Returns:
        np.ndarray: int64 sizes by class.

    >>> sorted(long_tailed_counts(100, 4, 1.0, class_seed=7).tolist())
    [12, 16, 24, 48]
    """
    counts = np.empty(num_classes, np.int64)
    order = np.random.default_rng(class_seed).permutation(num_classes)
    counts[order] = power_law_counts(num_images, num_classes, exponent)
    return counts

"""Class sizes of long-tailed training sets."""

import numpy as np

__all__ = [
    'exponential_profile',
    'long_tailed_counts',
    'pareto_profile',
    'power_law_counts',
    'power_law_profile',
]


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


def exponential_profile(max_images, num_classes, imbalance_factor):
    r"""Class sizes that fall geometrically, as of CIFAR-10-LT and CIFAR-100-LT.

    .. math::
        n_r = \lfloor n_{max}\, \rho^{-(r - 1) / (C - 1)} \rfloor

    Args:
        max_images (int): Size of the largest class.
        num_classes (int): Number of classes C.
        imbalance_factor (float): Largest by smallest size :math:`\rho`.

    Returns:
        np.ndarray: int64 sizes by rank, largest first.

    References:
        Cui et al., Class-Balanced Loss Based on Effective Number of Samples,
        CVPR 2019; Cao et al., Learning Imbalanced Datasets with
        Label-Distribution-Aware Margin Loss, NeurIPS 2019.

    >>> int(exponential_profile(500, 100, 100).sum())  # CIFAR-100-LT
    10847
    """
    steps = np.arange(num_classes) / max(num_classes - 1, 1)
    return _whole(max_images * float(imbalance_factor) ** -steps)


def power_law_profile(max_images, num_classes, imbalance_factor):
    r"""Class sizes that fall as a power of the rank.

    .. math::
        n_r = \lfloor n_{max}\, r^{-a} \rfloor, \qquad a = \log \rho / \log C

    The sizes are set by their ends; :func:`power_law_counts` sets their sum.

    Args:
        max_images (int): Size of the largest class.
        num_classes (int): Number of classes C.
        imbalance_factor (float): Largest by smallest size :math:`\rho`.

    Returns:
        np.ndarray: int64 sizes by rank, largest first.

    >>> power_law_profile(100, 4, 4).tolist()
    [100, 50, 33, 25]
    """
    power = np.log(imbalance_factor) / np.log(num_classes) if num_classes > 1 else 0.0
    return _whole(max_images * np.arange(1, num_classes + 1, dtype=np.float64) ** -power)


def pareto_profile(max_images, num_classes, imbalance_factor, alpha=6.0):
    r"""Class sizes at the quantiles of a Pareto distribution, as of ImageNet-LT.

    .. math::
        n_r = \Big\lfloor n_{min} + (n_{max} - n_{min})
        \frac{q_r - q_C}{q_1 - q_C} \Big\rfloor, \qquad
        q_r = (r / C)^{-1/\alpha}, \qquad n_{min} = n_{max} / \rho

    where :math:`q_r` is the value that a Pareto variable of shape
    :math:`\alpha` exceeds with probability r / C.

    Published of ImageNet-LT are :math:`\alpha = 6`, 1000 classes of 1280 down
    to 5 images and 115.8 thousand in all, not how the sizes were drawn and
    scaled. Quantiles in place of a random draw, and the linear scale, are our
    reading; it yields 121,449 images. Where the very images matter, take the
    published list as the annotation file of MMPretrain's ``ImageNet``.

    Args:
        max_images (int): Size of the largest class.
        num_classes (int): Number of classes C.
        imbalance_factor (float): Largest by smallest size :math:`\rho`.
        alpha (float): Shape of the distribution. Defaults to 6.0.

    Returns:
        np.ndarray: int64 sizes by rank, largest first.

    References:
        Liu et al., Large-Scale Long-Tailed Recognition in an Open World, CVPR
        2019.

    >>> sizes = pareto_profile(1280, 1000, 256)
    >>> int(sizes[0]), int(sizes[-1]), int(sizes.sum())
    (1280, 5, 121449)
    """
    ranks = np.arange(1, num_classes + 1, dtype=np.float64)
    excess = (ranks / num_classes) ** (-1 / alpha) - 1
    share = excess / excess[0] if num_classes > 1 else np.ones(1)
    smallest = max_images / imbalance_factor
    return _whole(smallest + (max_images - smallest) * share)


def _whole(sizes):
    """Rounded down, but not for rounding noise."""
    return np.floor(sizes + 1e-9).astype(np.int64)

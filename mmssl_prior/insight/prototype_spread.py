"""From the sizes of C classes to a prior over K prototypes: what becomes of an exponent."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..functional import empirical_prior, validate_prior
from .rank_laws import POWER_LAW, ranked

__all__ = ['fitted_exponent', 'merged_classes', 'spread_classes', 'spread_exponent']


def spread_classes(classes: Tensor, num_prototypes: int, split: float = 0.0) -> Tensor:
    r"""Prior over K prototypes when class c takes a share of them that grows as its size to alpha.

    .. math:: m_c = K \frac{q_c^\alpha}{\sum_j q_j^\alpha} \text{ prototypes with }
              \frac{q_c}{m_c} \propto q_c^{1 - \alpha} \text{ each}

    * :math:`\alpha = 0`: each class is divided among equally many prototypes,
      large ones no more finely than small ones. Prototypes are as unequal as
      classes; this is :func:`~mmssl_prior.functional.empirical_prior`.
    * :math:`\alpha = 1`: in proportion to its size. All prototypes are
      equal whatever the classes are: the uniform prior.
    * In between large classes are divided more finely. The quantiser of least
      squared error has :math:`\alpha = d / (d + 2)` for classes of d
      dimensions, equal in extent (Zador's theorem), which tends to 1: the
      uniform effect of k-means.

    Numbers of prototypes need not be whole: a class owns an interval of the
    ranks, prototype k gets the mass of :math:`((k - 1) / K, k / K]`, so that
    fewer prototypes than classes hold classes that are neighbours in size.

    Args:
        classes: Class sizes q, shape (C,), positive, in any order.
        num_prototypes: K.
        split: alpha in [0, 1].

    Returns:
        Shape (K,), float64, non-increasing, with sum one.

    Raises:
        UserError: If ``split`` is outside [0, 1] or a size is not positive.

    Example:
        >>> q = torch.tensor([.75, .25])
        >>> spread_classes(q, 4).tolist(), spread_classes(q, 4, 1.).tolist()
        ([0.375, 0.375, 0.125, 0.125], [0.25, 0.25, 0.25, 0.25])
    """
    if not 0 <= split <= 1:
        raise UserError(f'split must be in [0, 1], got {split}')
    mass = validate_prior(classes, len(classes)).sort(descending=True).values
    if split == 0:
        return empirical_prior(mass, num_prototypes)
    widths = mass**split / (mass**split).sum()
    ends = np.concatenate([[0.0], widths.cumsum(0).numpy()])
    cdf = np.concatenate([[0.0], mass.cumsum(0).numpy()])
    edges = np.linspace(0.0, 1.0, num_prototypes + 1)
    prior = torch.from_numpy(np.diff(np.interp(edges, ends / ends[-1], cdf / cdf[-1])))
    return prior / prior.sum()


def spread_exponent(exponent: float, split: float) -> float:
    r"""Exponent over prototypes of a power law over classes, far from the first ranks.

    With :math:`q_c \propto c^{-\tau}` the prototypes of the first c classes
    number :math:`K (c / C)^{1 - \alpha \tau}`, so that the class of prototype
    k is :math:`c \propto k^{1 / (1 - \alpha \tau)}`; its mass, proportional
    to :math:`c^{-(1 - \alpha) \tau}`, is a power law of k again, with

    .. math:: \tau' = \frac{(1 - \alpha)\,\tau}{1 - \alpha \tau},
              \qquad \alpha \tau < 1

    C and K do not occur: :math:`\alpha = 0` keeps the exponent whatever K is,
    :math:`\alpha = 1` gives 0, and :math:`\tau = 1` stays 1 below it.

    Args:
        exponent: tau.
        split: alpha as in :func:`spread_classes`.

    Returns:
        tau', infinite from alpha tau = 1 on (unless alpha is 1, where it is 0).

    Example:
        >>> spread_exponent(.5, 0.), spread_exponent(.5, .5), spread_exponent(.5, 1.)
        (0.5, 0.3333333333333333, 0.0)
    """
    if split == 1:
        return 0.0
    left = 1 - split * exponent
    return (1 - split) * exponent / left if left > 0 else float('inf')


def merged_classes(
    classes: Tensor | Sequence[float], num_prototypes: int, draws: int = 50, seed: int = 0
) -> Tensor:
    """Prior over fewer prototypes than classes, where those that share one are unrelated in size.

    Classes are dealt to prototypes at random, equally many to each; the
    ranked masses are averaged over the draws.

    Args:
        classes: Class sizes, shape (C,), positive.
        num_prototypes: K < C.
        draws: Number of deals.
        seed: Of the deals.

    Returns:
        Shape (K,), float64, non-increasing.

    Example:
        >>> merged_classes([1., 1., 1., 1.], 2).tolist()
        [0.5, 0.5]
    """
    mass = validate_prior(torch.as_tensor(classes), len(classes)).numpy()
    if num_prototypes >= len(mass):
        raise UserError(f'{len(mass)} classes cannot share {num_prototypes} prototypes')
    rng = np.random.default_rng(seed)
    seats = np.arange(len(mass)) % num_prototypes
    total = np.zeros(num_prototypes)
    for _ in range(draws):
        total += ranked(np.bincount(rng.permutation(seats), mass, num_prototypes))
    return torch.from_numpy(total / total.sum())


def fitted_exponent(prior: Tensor) -> float:
    r"""Exponent of the power law nearest to a prior, :math:`\arg\min_t KL(\pi \| k^{-t})`.

    Example:
        >>> from mmssl_prior.functional import power_law_prior
        >>> round(fitted_exponent(power_law_prior(100, .25)), 6)
        0.25
    """
    return float(POWER_LAW.maximum(ranked(np.asarray(prior, np.float64))))

"""Priors over K prototypes as probability vectors.

Every function returns float64 probabilities that sum to one; prototype ``k``
is the ``k``-th most probable one (its index is its rank in the prior).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError

__all__ = ['empirical_prior', 'power_law_prior', 'uniform_prior', 'validate_prior']


def uniform_prior(num_prototypes: int) -> Tensor:
    """Equal probabilities ``1 / K``.

    Example:
        >>> uniform_prior(4).tolist()
        [0.25, 0.25, 0.25, 0.25]
    """
    return power_law_prior(num_prototypes, 0.0)


def power_law_prior(num_prototypes: int, exponent: float) -> Tensor:
    r"""Power law over ranks.

    .. math:: \pi_k = \frac{k^{-\tau}}{\sum_{j=1}^K j^{-\tau}}, \quad k = 1 \dots K

    Args:
        num_prototypes: K >= 1.
        exponent: tau >= 0; 0 is uniform.

    Returns:
        Shape (K,), float64, non-increasing.

    Raises:
        ValueError: If K < 1 or the exponent is negative or not finite.

    Example:
        >>> (11 * power_law_prior(3, 1.)).round(decimals=6).tolist()
        [6.0, 3.0, 2.0]
    """
    if num_prototypes < 1:
        raise UserError(f'num_prototypes must be at least 1, got {num_prototypes}')
    if not isinstance(exponent, (int, float)) or not 0 <= exponent < float('inf'):
        raise UserError(f'exponent must be a finite number >= 0, got {exponent!r}')
    ranks = torch.arange(1, num_prototypes + 1, dtype=torch.float64)
    return torch.softmax(-exponent * ranks.log(), 0)


def empirical_prior(
    counts: Sequence[float] | np.ndarray | Tensor, num_prototypes: int, resample: bool = True
) -> Tensor:
    r"""Class counts, sorted in descending order and resampled to K prototypes.

    The sorted counts :math:`c_1 \ge \dots \ge c_C` are read as a density that
    is constant on the rank intervals :math:`((i-1)/C, i/C]`; prototype k gets
    the mass of :math:`((k-1)/K, k/K]`, so that mass is preserved and K = C is
    the identity.

    Args:
        counts: Shape (C,), positive; empty classes must be left out, since a
            prototype with prior 0 makes KL(p_bar || prior) infinite.
        num_prototypes: K.
        resample: If False, C != K is an error.

    Returns:
        Shape (K,), float64, non-increasing.

    Raises:
        ValueError: If counts are empty, not finite or not positive, or their
            number is not K and ``resample`` is False.

    Example:
        >>> empirical_prior([1, 3], 4)
        tensor([0.3750, 0.3750, 0.1250, 0.1250], dtype=torch.float64)
    """
    values = torch.as_tensor(np.asarray(counts, dtype=np.float64))
    _check_positive(values, 'class counts')
    if not resample and len(values) != num_prototypes:
        raise UserError(
            f'{len(values)} class counts for {num_prototypes} prototypes: set '
            'num_prototypes to the number of classes, or resample=True'
        )
    mass = values.sort(descending=True).values
    if len(mass) != num_prototypes:
        cdf = np.concatenate([[0.0], mass.cumsum(0).numpy()])
        edges = np.linspace(0.0, 1.0, num_prototypes + 1)
        mass = torch.from_numpy(np.diff(np.interp(edges, np.linspace(0.0, 1.0, len(cdf)), cdf)))
    return mass / mass.sum()


def validate_prior(prior: Tensor, num_prototypes: int) -> Tensor:
    """Check that ``prior`` is a distribution over K prototypes; return it normalised in float64.

    Args:
        prior: Shape (K,), positive; normalised here.
        num_prototypes: K.

    Raises:
        ValueError: If the prior has another length, or an entry is not finite
            or not positive (the message names the entry).

    Example:
        >>> validate_prior(torch.tensor([2., 1., 1.]), 3).tolist()
        [0.5, 0.25, 0.25]
    """
    prior = torch.as_tensor(prior).to(torch.float64)
    if prior.shape != (num_prototypes,):
        raise UserError(
            f'the prior has shape {tuple(prior.shape)}, expected '
            f'({num_prototypes},): one probability for each of num_prototypes'
        )
    _check_positive(prior, 'prior')
    return prior / prior.sum()


def _check_positive(values: Tensor, name: str) -> None:
    if values.ndim != 1 or not len(values):
        raise UserError(f'{name} must be a non-empty vector, got shape {tuple(values.shape)}')
    bad = ~(torch.isfinite(values) & (values > 0))
    if bad.any():
        at = int(bad.nonzero()[0])
        raise UserError(
            f'{name} must be finite and positive, entry {at} is {values[at]:g} '
            '(leave out empty classes)'
        )

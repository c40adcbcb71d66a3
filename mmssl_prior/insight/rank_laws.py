"""Laws of one parameter for the sizes of ranked classes, and their likelihood."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..errors import UserError, printable

__all__ = ['EXPONENTIAL', 'LAWS', 'POWER_LAW', 'RankLaw', 'check_counts', 'ranked']

#: Where the likelihood has no maximum, all mass being on the first rank, this is its end.
LARGEST = 60.0
STEPS = 60
TOLERANCE = 1e-10
#: Of a class: sums of more would leave the integers.
MOST_IMAGES = 10**12


class RankLaw(NamedTuple):
    r"""An exponential family over ranks, :math:`p_k \propto e^{-\theta s_k}`.

    .. math:: p_k(\theta) = \frac{e^{-\theta s_k}}{\sum_j e^{-\theta s_j}}, \qquad
              \log L(\theta) = -N \left(\theta \bar s + \log \sum_j e^{-\theta s_j}\right) + const,
              \qquad \bar s = \frac{1}{N} \sum_k n_k s_k

    for ranked counts :math:`n_1 \ge \dots \ge n_C` that sum to N, as a
    multinomial sample. The likelihood is concave; its maximum solves
    :math:`E_\theta[s] = \bar s`, and the Fisher information is
    :math:`N\,\mathrm{Var}_\theta(s)`. Which class has which rank is unknown;
    for :math:`\theta \ge 0` ranks by the counts themselves are the most
    likely ones (rearrangement inequality), so sorting them is part of the
    maximum, and a source of bias, see :func:`~.prior_fit.fit_law`.

    Args:
        name: For tables.
        statistic: From C to s, shape (C,), increasing from 0.

    Example:
        >>> counts = np.array([60, 30, 20])  # proportional to 1, 1/2, 1/3
        >>> round(float(POWER_LAW.maximum(counts)), 6)
        1.0
    """

    name: str
    statistic: Callable[[int], np.ndarray]

    def log_probs(self, num_classes: int, parameter: float) -> np.ndarray:
        """Log-probabilities of the ranks, shape (C,)."""
        scores = -parameter * self.statistic(num_classes)
        return scores - np.logaddexp.reduce(scores)

    def maximum(self, counts: np.ndarray) -> np.ndarray:
        """Maximum-likelihood parameter >= 0 of ranked counts, shape (..., C) to (...)."""
        statistic = self.statistic(counts.shape[-1])
        wanted = (counts @ statistic) / counts.sum(-1)
        return self._solve(np.asarray(wanted, np.float64), statistic)

    def _solve(self, wanted: np.ndarray, statistic: np.ndarray) -> np.ndarray:
        """Newton's method within a bracket that halves where a step would leave it."""
        low, high = np.zeros_like(wanted), np.full_like(wanted, LARGEST)
        parameter = np.zeros_like(wanted)
        for _ in range(STEPS):
            weights = np.exp(-parameter[..., None] * statistic)
            weights /= weights.sum(-1, keepdims=True)
            mean = weights @ statistic
            variance = weights @ statistic**2 - mean**2
            above = mean > wanted  # the law is too flat: the solution is larger
            low, high = np.where(above, parameter, low), np.where(above, high, parameter)
            step = parameter + (mean - wanted) / np.maximum(variance, 1e-300)
            inside = (step > low) & (step < high)
            new = np.where(inside, step, (low + high) / 2)
            if np.max(np.abs(new - parameter), initial=0.0) < TOLERANCE:
                break
            parameter = new
        return np.where(wanted >= statistic.mean() * (1 - 1e-12), 0.0, parameter)

    def deviation(self, counts: np.ndarray, parameter: float) -> float:
        """Standard error of the parameter, from the Fisher information."""
        statistic = self.statistic(len(counts))
        probs = np.exp(self.log_probs(len(counts), parameter))
        variance = probs @ statistic**2 - (probs @ statistic) ** 2
        return float((counts.sum() * max(variance, 1e-300)) ** -0.5)


def _log_rank(num_classes: int) -> np.ndarray:
    return np.log(np.arange(1, num_classes + 1, dtype=np.float64))


def _rank(num_classes: int) -> np.ndarray:
    return np.arange(num_classes, dtype=np.float64)


#: pi_k proportional to k^-tau: the parameter is the exponent.
POWER_LAW = RankLaw('power law', _log_rank)
#: pi_k proportional to exp(-rate k): sizes fall by a constant factor, as in CIFAR-100-LT.
EXPONENTIAL = RankLaw('exponential', _rank)
LAWS = (POWER_LAW, EXPONENTIAL)


def ranked(counts: np.ndarray) -> np.ndarray:
    """Counts in descending order along the last axis."""
    return -np.sort(-counts, axis=-1)


def check_counts(counts: object, name: str = 'class counts') -> np.ndarray:
    """Class counts as an int64 array in descending order.

    Args:
        counts: Integers from 0 to 1e12, one for each class; a class of 0 images counts
            as a class.
        name: What a message calls them.

    Raises:
        UserError: If they are something else, or fewer than two classes have
            images.

    Example:
        >>> check_counts([3, 10, 0])
        array([10,  3,  0])
    """
    try:
        values = np.asarray(counts, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f'{name}: expected one number for each class ({error})') from error
    if values.ndim != 1:
        raise UserError(f'{name}: shape {values.shape}, expected one number for each class')
    bad = ~((values >= 0) & (values <= MOST_IMAGES) & (values == np.round(values)))
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise UserError(
            f'{name}: entry {at} (counted from 0) is {printable(values[at])}, expected a whole '
            f'number of images from 0 to {MOST_IMAGES:.0e}'
        )
    if (values > 0).sum() < 2:
        raise UserError(
            f'{name}: {int((values > 0).sum())} classes have images; a law of their sizes needs '
            'at least 2'
        )
    return ranked(values.astype(np.int64))

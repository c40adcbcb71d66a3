"""Means and paired differences over few seeds: intervals and tests by Student's t."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

__all__ = ['Difference', 'Mean', 'holm', 'mean_interval', 'paired_difference']

# A spread below this share of the values is what rounding leaves of none.
ROUNDING = 1e-10


class Mean(NamedTuple):
    """A mean and half of its interval.

    Args:
        value: The mean.
        half: Half of the width of the interval; None if the values tell
            nothing about it: a single one, or several that are all equal.
        n: Number of values.
    """

    value: float
    half: float | None
    n: int


class Difference(NamedTuple):
    """A mean difference of pairs, its interval and its test.

    Args:
        value: The mean difference.
        half: Half of the width of its interval, or None as in :class:`Mean`.
        n: Number of pairs.
        same_sign: Pairs whose difference has the sign of the mean.
        p: Of the two-sided paired t-test; None where there is no interval.
        adjusted: p after Holm's adjustment over a family of tests, if one was made.
    """

    value: float
    half: float | None
    n: int
    same_sign: int
    p: float | None
    adjusted: float | None = None


def mean_interval(values: Sequence[float], level: float = 0.95) -> Mean:
    r"""Mean of independent values with Student's interval.

    .. math:: \bar x \pm t_{n-1,\,(1+\text{level})/2} \; s / \sqrt n

    with the standard deviation :math:`s` of :math:`n - 1` degrees of freedom.
    Values that are all equal have no interval: that few runs agree to the last
    digit (accuracies are multiples of one image) does not show that all would.

    Args:
        values: At least one.
        level: Of confidence.

    Example:
        >>> mean_interval([0.5, 0.6, 0.7])
        Mean(value=0.6, half=0.248..., n=3)
        >>> mean_interval([0.5])
        Mean(value=0.5, half=None, n=1)
    """
    x = np.asarray(values, dtype=np.float64)
    error = _standard_error(x, float(np.abs(x).max()))
    half = None if error is None else _quantile(level, len(x) - 1) * error
    return Mean(float(x.mean()), half, len(x))


def paired_difference(
    values: Mapping[int, float], baseline: Mapping[int, float], level: float = 0.95
) -> Difference | None:
    r"""Mean difference of two conditions on their common seeds, with interval and test.

    With the differences :math:`d_s = x_s - b_s` of the seeds that both have,

    .. math:: t = \sqrt n \; \bar d / s_d, \qquad p = 2 \, P(T_{n-1} > |t|)

    What a seed does to both conditions alike does not blur the difference.
    Differences that are all equal have neither interval nor test.

    Args:
        values: By seed.
        baseline: By seed.
        level: Of confidence.

    Returns:
        The difference, or None without a common seed.

    Example:
        >>> found = paired_difference({0: 3.0, 1: 5.0, 2: 4.0}, {0: 2.0, 1: 3.0, 2: 3.5})
        >>> found.n, found.same_sign, round(found.value, 3), round(found.p, 3)
        (3, 3, 1.167, 0.118)
    """
    from scipy.stats import t

    seeds = sorted(values.keys() & baseline.keys())
    if not seeds:
        return None
    x, b = (np.array([side[seed] for seed in seeds]) for side in (values, baseline))
    d = x - b
    # What is rounding is measured by what was subtracted.
    scale = float(max(np.abs(x).max(), np.abs(b).max()))
    d[np.abs(d) <= ROUNDING * scale] = 0.0
    mean, n = float(d.mean()), len(d)
    error = _standard_error(d, scale)
    half = p = None
    if error is not None:
        half = _quantile(level, n - 1) * error
        p = float(2 * t.sf(abs(mean) / error, n - 1))
    return Difference(mean, half, n, int((np.sign(d) == np.sign(mean)).sum()), p)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    r"""Holm's step-down adjustment: all errors of a family together stay below the level.

    With the m tests sorted, :math:`p_{(1)} \le \dots \le p_{(m)}`,

    .. math:: \tilde p_{(i)} = \max_{j \le i} \min(1, (m - j + 1) \, p_{(j)})

    Args:
        p_values: In any order; None where no test could be made, which does
            not count in m.

    Returns:
        The adjusted values in the order given, None where None was.

    Example:
        >>> holm([0.01, None, 0.04, 0.03])
        [0.03, None, 0.06, 0.06]
    """
    order = sorted(
        (i for i, p in enumerate(p_values) if p is not None), key=lambda i: p_values[i] or 0.0
    )
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * (p_values[place] or 0.0)))
        adjusted[place] = largest
    return adjusted


def _standard_error(x: np.ndarray, scale: float) -> float | None:
    if len(x) < 2:
        return None
    spread = float(x.std(ddof=1))
    return None if spread <= ROUNDING * scale else spread / math.sqrt(len(x))


def _quantile(level: float, freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, freedom))

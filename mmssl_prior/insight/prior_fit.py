"""Which law the sizes of classes follow: maximum likelihood, corrected for sorting, and tested."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .rank_laws import EXPONENTIAL, LAWS, POWER_LAW, RankLaw, check_counts, ranked

__all__ = ['HalfFit', 'LawFit', 'PriorFit', 'Scored', 'fit_law', 'fit_prior', 'score_laws']

#: Points at which the distribution of the estimate is simulated.
GRID = 13
#: Largest number of simulated counts in memory at once.
AT_ONCE = 2_000_000


class LawFit(NamedTuple):
    """The parameter of a law.

    Attributes:
        law: Its name.
        raw: Maximum likelihood for the counts, ranked by themselves.
        estimate: Corrected for the bias of ranking: the parameter for which
            the median of ``raw`` is what was seen.
        low: Lower end of the interval; 0 where a uniform law is not excluded.
        high: Upper end.
        level: Coverage of the interval, if the law is true.
    """

    law: str
    raw: float
    estimate: float
    low: float
    high: float
    level: float


class Scored(NamedTuple):
    """How well a law describes ranked counts.

    Attributes:
        law: Its name.
        parameters: How many were fitted.
        log_likelihood: Of the multinomial sample, without its coefficient.
        aic: Twice (parameters - log-likelihood).
        bic: parameters x log N - twice the log-likelihood.
        deviance: Twice the log-likelihood that is missing to the counts' own
            frequencies.
        kl: KL(frequencies || law) in nats, the deviance by 2 N.
        explained: Share of the uniform law's deviance that is gone.
        p_value: Share of samples from the fitted law, ranked and fitted
            likewise, whose deviance is as large; None for the frequencies.
    """

    law: str
    parameters: int
    log_likelihood: float
    aic: float
    bic: float
    deviance: float
    kl: float
    explained: float
    p_value: float | None


class HalfFit(NamedTuple):
    """Maximum-likelihood exponent over a range of ranks alone, given that an image is there.

    Ranking makes the small half look steep; so what the law itself would give
    is beside it.

    Attributes:
        exponent: Of the counts; nan where the range has no images.
        low: Lower end of the range of samples from the fitted power law.
        high: Its upper end.
    """

    exponent: float
    low: float
    high: float

    @property
    def differs(self) -> bool:
        """Whether the range is steeper or flatter than the whole."""
        return not self.low <= self.exponent <= self.high


@dataclass(frozen=True)
class PriorFit:
    """Everything about one list of class counts.

    Args:
        counts: Ranked, shape (C,).
        power_law: The exponent.
        exponential: The rate.
        laws: Uniform, power law, exponential, empirical.
        halves: Of the larger and of the smaller half of the classes.
    """

    counts: np.ndarray
    power_law: LawFit
    exponential: LawFit
    laws: tuple[Scored, ...]
    halves: tuple['HalfFit', 'HalfFit']

    @property
    def accepted(self) -> bool:
        """Whether a power law is not rejected at 5 per cent."""
        return self.law('power law').p_value > 0.05

    def law(self, name: str) -> Any:
        """The scores of a law by its name."""
        return next(scored for scored in self.laws if scored.law == name)


def fit_law(
    law: RankLaw,
    counts: Sequence[int] | np.ndarray,
    simulations: int = 400,
    level: float = 0.95,
    seed: int = 0,
) -> LawFit:
    r"""Parameter of a law, corrected for the bias of ranking, with an interval.

    Counts ranked by their own size look steeper than their law: of a uniform
    law, too, some class comes out first. The bias is that of chance, largest
    where classes are small and the law is flat (:math:`\theta = 0` never
    comes out as 0), and gone where neighbours in rank differ by more than
    their noise.

    The distribution of the estimate :math:`\hat\theta` is therefore
    simulated: for a grid of :math:`\theta`, multinomial samples of N are
    ranked and fitted. The corrected estimate is the :math:`\theta` whose
    median of :math:`\hat\theta` is the one that was seen; the interval holds
    each :math:`\theta` under which what was seen lies between the quantiles
    :math:`(1 \mp level) / 2`. Both are exact up to the simulation if the law
    is true, and silent about laws that are not; for that there is the p-value
    of :func:`score_laws`.

    Args:
        law: Of :data:`~.rank_laws.LAWS`.
        counts: Class sizes in any order.
        simulations: Samples at each of the points of the grid.
        level: Of the interval.
        seed: Of the simulation.

    Raises:
        UserError: If these are no counts of at least two classes.

    Example:
        >>> fit = fit_law(POWER_LAW, [52, 44, 51, 48, 55])  # five equal classes
        >>> fit.low, fit.estimate < fit.raw < 0.2
        (0.0, True)
    """
    values = check_counts(counts)
    raw = float(law.maximum(values))
    # The same random numbers at every point: quantiles vary smoothly along the grid.
    spread = _raws(law, values, raw, simulations, seed)
    tails = ((1 - level) / 2, 0.5, (1 + level) / 2)
    low_q, median, high_q = np.quantile(spread, tails)
    bias, width = max(median - raw, 0.0), max(high_q - low_q, 1e-9)
    start = max(0.0, raw - 3 * bias - 1.5 * width)
    grid = np.linspace(start, raw + 1.5 * width, GRID)
    if start > 0:
        grid = np.append(0.0, grid)
    found = np.array(
        [np.quantile(_raws(law, values, point, simulations, seed), tails) for point in grid]
    )
    # A larger parameter gives larger estimates; what the simulation adds is smoothed away.
    found = np.maximum.accumulate(found, axis=0)
    low, estimate, high = (float(_inverse(grid, found[:, column], raw)) for column in (2, 1, 0))
    return LawFit(law.name, raw, estimate, low, high, level)


def _inverse(grid: np.ndarray, values: np.ndarray, wanted: float) -> float:
    """The point of the grid at which rising values reach what is wanted; its ends beyond them."""
    rising = np.append(True, np.diff(values) > 0)
    return np.interp(wanted, values[rising], grid[rising])


def _raws(
    law: RankLaw, counts: np.ndarray, parameter: float, simulations: int, seed: int
) -> np.ndarray:
    probs = np.exp(law.log_probs(len(counts), parameter))
    return np.concatenate(
        [law.maximum(sample) for sample in _samples(counts, probs, simulations, seed)]
    )


def _samples(counts: np.ndarray, probs: np.ndarray, simulations: int, seed: int):
    """Ranked multinomial samples of the same size, in blocks."""
    rng = np.random.default_rng(seed)
    block = max(1, AT_ONCE // len(counts))
    for start in range(0, simulations, block):
        size = min(block, simulations - start)
        yield ranked(rng.multinomial(int(counts.sum()), probs, size))


def score_laws(
    counts: Sequence[int] | np.ndarray,
    parameters: dict[str, float] | None = None,
    simulations: int = 400,
    seed: int = 0,
) -> tuple[Scored, ...]:
    r"""Uniform, power law, exponential and the frequencies themselves, compared.

    .. math:: D = 2 \sum_k n_k \log \frac{n_k}{N p_k} = 2 N\,KL(n / N \,\|\, p)

    The p-value is by parametric bootstrap, since ranking spoils the
    :math:`\chi^2` distribution of D: samples of the law at its corrected
    parameter are ranked, fitted and scored as the counts were. With many
    images every law is rejected; then ``kl`` and ``explained`` say how far
    off it is.

    Args:
        counts: Class sizes in any order.
        parameters: Corrected parameters by name of the law, from which to
            simulate; by default the maximum-likelihood ones.
        simulations: Samples of each law.
        seed: Of the simulation.

    Raises:
        UserError: As :func:`fit_law`.

    Example:
        >>> uniform, power, _, _ = score_laws([60, 30, 20])
        >>> round(uniform.kl, 4), round(power.kl, 4), power.p_value > 0.9
        (0.1037, 0.0, True)
    """
    values = check_counts(counts)
    parameters = parameters or {}
    total, classes = int(values.sum()), len(values)
    ceiling = _log_likelihood(values, _log(values / total))
    floor = -total * np.log(classes)
    whole = 2 * (ceiling - floor)

    def scored(name: str, free: int, likelihood: float, p_value: float | None) -> Scored:
        deviance = max(2 * float(ceiling - likelihood), 0.0)
        return Scored(
            name,
            free,
            float(likelihood),
            2 * free - 2 * float(likelihood),
            float(free * np.log(total) - 2 * likelihood),
            deviance,
            deviance / (2 * total),
            float(1 - deviance / whole) if whole > 0 else 1.0,
            p_value,
        )

    result = [scored('uniform', 0, float(floor), _p_value(None, values, 0.0, simulations, seed))]
    for law in LAWS:
        best = float(law.maximum(values))
        likelihood = _log_likelihood(values, law.log_probs(classes, best))
        p_value = _p_value(law, values, parameters.get(law.name, best), simulations, seed)
        result.append(scored(law.name, 1, likelihood, p_value))
    return (*result, scored('empirical', classes - 1, ceiling, None))


def _p_value(
    law: RankLaw | None, counts: np.ndarray, parameter: float, simulations: int, seed: int
) -> float:
    """Share of samples of the law (None: uniform) of the same or a larger deviance."""
    classes = len(counts)
    probs = np.exp((law or POWER_LAW).log_probs(classes, parameter))
    seen = _deviances(law, counts[None])[0]
    deviances = [_deviances(law, sample) for sample in _samples(counts, probs, simulations, seed)]
    larger = sum(int((block >= seen * (1 - 1e-9)).sum()) for block in deviances)
    return (1 + larger) / (1 + simulations)


def _deviances(law: RankLaw | None, counts: np.ndarray) -> np.ndarray:
    """Deviances of ranked samples (B, C) from the law fitted to each."""
    total = counts.sum(-1, keepdims=True)
    statistic = (law or POWER_LAW).statistic(counts.shape[-1])
    fitted = np.zeros(len(counts)) if law is None else law.maximum(counts)
    scores = -fitted[:, None] * statistic
    logs = scores - np.logaddexp.reduce(scores, axis=-1, keepdims=True)
    return 2 * (counts * (_log(counts / total) - logs)).sum(-1)


def _log(frequencies: np.ndarray) -> np.ndarray:
    """Logarithm, 0 where the frequency is 0: its product with the count is what is needed."""
    return np.log(np.where(frequencies > 0, frequencies, 1.0))


def _log_likelihood(counts: np.ndarray, log_probs: np.ndarray) -> float:
    return float((counts * log_probs).sum())


def fit_prior(
    counts: Sequence[int] | np.ndarray, simulations: int = 400, level: float = 0.95, seed: int = 0
) -> PriorFit:
    """Fit and compare all laws.

    Args:
        counts: Class sizes in any order.
        simulations: As :func:`fit_law`.
        level: Of the intervals.
        seed: Of the simulations.

    Raises:
        UserError: As :func:`fit_law`.
    """
    values = check_counts(counts)
    power, exponential = (
        fit_law(law, values, simulations, level, seed) for law in (POWER_LAW, EXPONENTIAL)
    )
    parameters = {fit.law: fit.estimate for fit in (power, exponential)}
    laws = score_laws(values, parameters, simulations, seed)
    return PriorFit(
        values, power, exponential, laws, _halves(values, power.estimate, simulations, level, seed)
    )


def _halves(
    counts: np.ndarray, exponent: float, simulations: int, level: float, seed: int
) -> tuple[HalfFit, HalfFit]:
    middle = max(len(counts) // 2, min(2, len(counts)))
    ranges = ((0, middle), (middle, len(counts)))
    probs = np.exp(POWER_LAW.log_probs(len(counts), exponent))
    slopes: list[list[np.ndarray]] = [[], []]
    for sample in _samples(counts, probs, simulations, seed):
        for found, (start, stop) in zip(slopes, ranges):
            found.append(_slopes(sample, start, stop))
    tails = ((1 - level) / 2, (1 + level) / 2)
    head, tail = (
        HalfFit(
            float(_slopes(counts[None], start, stop)[0]),
            *map(float, np.nanquantile(np.append(np.concatenate(found), 0.0), tails)),
        )
        for found, (start, stop) in zip(slopes, ranges)
    )
    return head, tail


def _slopes(counts: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Exponents over a range of ranks of counts (B, C), from the likelihood given that range."""
    part = counts[:, start:stop]
    known = part.sum(-1) > 0
    slopes = np.full(len(counts), np.nan)
    if stop - start >= 2 and known.any():
        ranks = np.arange(start + 1, stop + 1, dtype=np.float64)
        slopes[known] = RankLaw('range', lambda _: np.log(ranks / ranks[0])).maximum(part[known])
    return slopes

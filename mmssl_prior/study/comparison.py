"""One factor of a study against its baseline, within each cell of the other factors."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from .contrast import Contrast, Planned, less
from .observation import Observation
from .statistics import Difference, Mean, holm, mean_interval, paired_difference

__all__ = ['Row', 'compare', 'differenced', 'narrowed']


class Row(NamedTuple):
    """One level of the factor in one cell of the others.

    Args:
        cell: Levels of the varied other factors.
        level: Of the factor.
        runs: Seeds of the finished runs.
        planned: How many runs were asked for.
        values: Finite values by metric and seed.
        means: By metric, where there is a value.
        pairs: Differences to the baseline by metric and common seed.
        differences: Their means, where there is one; adjusted over all of the contrast.
    """

    cell: tuple[str, ...]
    level: str
    runs: tuple[int, ...]
    planned: int
    values: dict[str, dict[int, float]]
    means: dict[str, Mean]
    pairs: dict[str, dict[int, float]]
    differences: dict[str, Difference]


def differenced(
    contrast: Contrast, observations: Sequence[Observation], planned: Sequence[Planned]
) -> tuple[Sequence[Observation], Sequence[Planned]]:
    r"""Runs as pairs, where a contrast is one of differences.

    .. math:: d_s = x_s - b_s

    of the two levels on each common seed s at each place of the other factors.
    The difference of such differences to those of the baseline is the
    interaction of both factors.

    Args:
        contrast: Of the study.
        observations: Of the study.
        planned: Runs that it asks for.

    Returns:
        Both with pairs as runs; as they were for any other contrast.
    """
    if contrast.difference is None:
        return observations, planned
    return _paired(contrast.difference, observations), _paired(
        contrast.difference, [Observation(dict(run.factors), run.seed, {}) for run in planned]
    )


def _paired(difference: tuple[str, str, str], runs: Sequence[Observation]) -> list[Observation]:
    factor, level, other = difference
    partners = {
        (frozenset(run.factors.items()), run.seed): run.metrics
        for run in runs
        if run.factors[factor] == other
    }
    pairs = []
    for run in runs:
        place = frozenset({**run.factors, factor: other}.items())
        metrics = partners.get((place, run.seed))
        if run.factors[factor] == level and metrics is not None:
            pairs.append(
                Observation(
                    {**run.factors, factor: less(level, other)},
                    run.seed,
                    {
                        name: value - metrics[name]
                        for name, value in run.metrics.items()
                        if name in metrics
                    },
                )
            )
    return pairs


def narrowed(
    contrast: Contrast, observations: Sequence[Observation], planned: Sequence[Planned]
) -> Contrast:
    """The contrast without levels of which nothing is planned or there where it compares.

    A study may have several grids. Where one holds the factor at a single
    level, there is nothing to compare.
    """
    kept: list[tuple[tuple[str, ...], str]] = []
    for cell in itertools.product(*contrast.others.values()):
        kept += [(cell, level) for level in _levels_of(contrast, cell, [*observations, *planned])]
    if not kept:
        return contrast
    others = {
        name: tuple(level for level in levels if any(cell[i] == level for cell, _ in kept))
        for i, (name, levels) in enumerate(contrast.others.items())
    }
    there = {contrast.baseline, *(level for _, level in kept)}
    levels = tuple(level for level in contrast.levels if level in there)
    return contrast._replace(others=others, levels=levels)


def _levels_of(contrast: Contrast, cell: Sequence[str], runs: Iterable[Planned]) -> list[str]:
    """Levels in one cell; with a baseline, none if there is only one."""
    place = dict(zip(contrast.others, cell))
    in_cell = [
        run.factors[contrast.factor]
        for run in runs
        if all(run.factors[name] == level for name, level in place.items())
    ]
    found = [level for level in contrast.levels if level in in_cell]
    return found if contrast.baseline is None or len(found) > 1 else []


def compare(
    contrast: Contrast, observations: Sequence[Observation], planned: Sequence[Planned]
) -> list[Row]:
    """Means of each row of a contrast, and differences to the baseline of its cell.

    Values that are not finite count as missing. The tests of all rows and
    metrics, if the contrast has any, are one family of Holm's.

    Args:
        contrast: Of the study.
        observations: Of the study, of which those outside the contrast are left out.
        planned: Runs that the study asks for.

    Returns:
        Cell by cell, each in the order of the levels; none for what is neither
        planned nor there, and for cells where only one level is.
    """
    rows = []
    every: list[Planned] = [*observations, *planned]
    for cell in itertools.product(*contrast.others.values()):
        wanted = dict(zip(contrast.others, cell))
        varied = tuple(wanted[name] for name in contrast.varied)
        values = {
            level: _values(contrast, observations, wanted | {contrast.factor: level})
            for level in contrast.levels
        }
        for level in _levels_of(contrast, cell, every):
            place = wanted | {contrast.factor: level}
            runs = tuple(sorted(one.seed for one in observations if one.factors == place))
            asked = sum(one.factors == place for one in planned)
            pairs, differences = {}, {}
            if contrast.baseline not in (None, level):
                for metric, of_level in values[level].items():
                    other = values[contrast.baseline][metric]
                    found = paired_difference(of_level, other)
                    if found is not None:
                        differences[metric] = found if contrast.tests else found._replace(p=None)
                        common = sorted(of_level.keys() & other.keys())
                        pairs[metric] = {seed: of_level[seed] - other[seed] for seed in common}
            means = {
                metric: mean_interval(list(by_seed.values()))
                for metric, by_seed in values[level].items()
                if by_seed
            }
            rows.append(Row(varied, level, runs, asked, values[level], means, pairs, differences))
    places = [(row, metric) for row in rows for metric in row.differences]
    adjusted = holm([row.differences[metric].p for row, metric in places])
    for (row, metric), p in zip(places, adjusted):
        row.differences[metric] = row.differences[metric]._replace(adjusted=p)
    return rows


def _values(
    contrast: Contrast, observations: Sequence[Observation], place: Mapping[str, str]
) -> dict[str, dict[int, float]]:
    """By metric and seed, of the runs at one place of the grid."""
    there = sorted((one for one in observations if one.factors == place), key=lambda one: one.seed)
    return {
        metric: {
            one.seed: one.metrics[metric]
            for one in there
            if math.isfinite(one.metrics.get(metric, math.nan))
        }
        for metric in contrast.metrics
    }

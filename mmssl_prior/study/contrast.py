"""One factor of a study against its baseline, within each cell of the other factors."""

import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from ..errors import UserError
from .observation import Observation
from .statistics import Difference, Mean, holm, mean_interval, paired_difference

__all__ = [
    'Contrast',
    'Planned',
    'Row',
    'StudyFacts',
    'compare',
    'differenced',
    'narrowed',
    'read_contrasts',
]

KEYS = ('title', 'factor', 'baseline', 'within', 'metrics', 'difference', 'tests')


class StudyFacts(Protocol):
    """What a report needs to know of a study; levels in the order in which they are shown.

    Without metrics every one that a run has is shown, without contrasts means alone.
    """

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def question(self) -> str: ...
    @property
    def factors(self) -> Mapping[str, Collection[Any]]: ...
    @property
    def metrics(self) -> Mapping[str, str] | None: ...
    @property
    def contrasts(self) -> Sequence[Mapping[str, Any]] | None: ...


class Planned(Protocol):
    """A run that a study asks for; an :class:`Observation` is one too."""

    @property
    def factors(self) -> Mapping[str, str]: ...
    @property
    def seed(self) -> int: ...


class Contrast(NamedTuple):
    """What a table and a figure show.

    Args:
        title: Of both.
        factor: Whose levels are compared.
        levels: Of the factor.
        baseline: The level that the others are compared with; None for means alone.
        others: Levels shown of each other factor.
        metrics: Label by name; empty for every metric that a run has.
        difference: A factor and two of its levels, if the values compared are
            themselves differences, of the first level to the second.
        tests: Whether differences to the baseline are tested.
    """

    title: str
    factor: str
    levels: tuple[str, ...]
    baseline: str | None
    others: dict[str, tuple[str, ...]]
    metrics: dict[str, str]
    difference: tuple[str, str, str] | None = None
    tests: bool = True

    @property
    def varied(self) -> list[str]:
        """Other factors with several levels."""
        return [name for name, levels in self.others.items() if len(levels) > 1]

    @property
    def fixed(self) -> dict[str, str]:
        """The one level of each of the remaining factors."""
        return {name: levels[0] for name, levels in self.others.items() if len(levels) == 1}


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


def read_contrasts(study: StudyFacts) -> list[Contrast]:
    """The contrasts of a study, checked; without any, means over the levels of its first factor.

    Raises:
        UserError: Names the contrast and what is wrong with it.
    """
    levels = {name: tuple(map(str, found)) for name, found in study.factors.items()}
    contrasts, metrics = study.contrasts or [], study.metrics or {}
    if not isinstance(metrics, Mapping) or not all(
        isinstance(text, str) for pair in metrics.items() for text in pair
    ):
        raise UserError(
            f'study {study.name}: metrics is a dict of label by name, such as '
            "{'patterns/linear': 'Class, linear'}"
        )
    if not isinstance(contrasts, (list, tuple)) or not all(
        isinstance(entry, Mapping) for entry in contrasts
    ):
        raise UserError(
            f"study {study.name}: contrasts is a list such as [dict(title='...', factor='...', "
            "baseline='...')]"
        )
    if not contrasts and levels:
        contrasts = [dict(title='All runs', factor=next(iter(levels)))]
    found = [
        _read_contrast(entry, levels, metrics, f'study {study.name}: contrasts[{place}]')
        for place, entry in enumerate(contrasts)
    ]
    titles = [contrast.title for contrast in found]
    for title in titles:
        if titles.count(title) > 1:
            raise UserError(f'study {study.name}: two contrasts have the title {title!r}')
    return found


def _read_contrast(
    entry: Mapping[str, Any],
    levels: Mapping[str, tuple[str, ...]],
    metrics: Mapping[str, str],
    where: str,
) -> Contrast:
    unknown = sorted(entry.keys() - set(KEYS))
    if unknown:
        raise UserError(f'{where} has no key {unknown[0]!r}; the keys are {", ".join(KEYS)}')
    for key in ('title', 'factor'):
        if not isinstance(entry.get(key), str):
            raise UserError(f'{where} needs {key}, a text')
    shown = dict(levels)
    for name, chosen in (entry.get('within') or {}).items():
        if name not in levels:
            raise UserError(f'{where}: within names {name!r}; the factors are {_list(levels)}')
        chosen = [chosen] if isinstance(chosen, str) or not isinstance(chosen, Iterable) else chosen
        wanted = list(map(str, chosen))
        for level in wanted:
            if level not in levels[name]:
                raise UserError(
                    f'{where}: within {name} names {level!r}; its levels are {_list(levels[name])}'
                )
        shown[name] = tuple(level for level in levels[name] if level in wanted)
    factor = entry['factor']
    if factor not in levels:
        raise UserError(f'{where}: factor {factor!r} is none of {_list(levels)}')
    baseline = entry.get('baseline')
    if baseline is not None and str(baseline) not in shown[factor]:
        raise UserError(
            f'{where}: baseline {str(baseline)!r} is none of the levels of {factor}: '
            f'{_list(shown[factor])}'
        )
    difference = _read_difference(entry, levels, where)
    if difference is not None:
        shown[difference[0]] = (_less(*difference[1:]),)
    named = entry.get('metrics') or list(metrics)
    if isinstance(named, str):
        raise UserError(f'{where}: metrics is a list of names, got the text {named!r}')
    return Contrast(
        entry['title'],
        factor,
        shown.pop(factor),
        None if baseline is None else str(baseline),
        shown,
        {name: metrics.get(name, name) for name in named},
        difference,
        bool(entry.get('tests', True)),
    )


def _read_difference(
    entry: Mapping[str, Any], levels: Mapping[str, tuple[str, ...]], where: str
) -> tuple[str, str, str] | None:
    if 'difference' not in entry:
        return None
    found = entry['difference']
    pair: list[Any] = (
        list(*found.values()) if isinstance(found, Mapping) and len(found) == 1 else []
    )
    if len(pair) != 2 or pair[0] == pair[1]:
        raise UserError(
            f"{where}: difference is a factor with two levels, such as dict(prior=['1', '0']), "
            f'got {found!r}'
        )
    (name,) = found
    if name not in levels or name == entry['factor'] or name in (entry.get('within') or {}):
        raise UserError(
            f'{where}: difference names {name!r}; it must be a factor that is neither compared nor '
            f'in within, one of {_list(levels)}'
        )
    for level in map(str, pair):
        if level not in levels[name]:
            raise UserError(
                f'{where}: difference {name} names {level!r}; its levels are {_list(levels[name])}'
            )
    return name, str(pair[0]), str(pair[1])


def _less(level: str, other: str) -> str:
    return f'{level} - {other}'


def _list(names: Iterable[str]) -> str:
    return ', '.join(names)


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
                    {**run.factors, factor: _less(level, other)},
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

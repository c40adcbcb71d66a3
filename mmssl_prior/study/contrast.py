"""What a study file may ask to be compared: a factor, its baseline, and within what."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from ..errors import UserError

__all__ = ['Contrast', 'Planned', 'StudyFacts', 'less', 'read_contrasts']

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
        shown[difference[0]] = (less(*difference[1:]),)
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
    value = next(iter(found.values())) if isinstance(found, Mapping) and len(found) == 1 else None
    pair = list(value) if isinstance(value, (list, tuple)) else []
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


def less(level: str, other: str) -> str:
    """The name of a difference of two levels, as if it were a level itself."""
    return f'{level} - {other}'


def _list(names: Iterable[str]) -> str:
    return ', '.join(names)

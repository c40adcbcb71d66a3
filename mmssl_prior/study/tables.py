"""Tables of a contrast in Markdown: means and differences, and the tests behind them."""

from collections.abc import Sequence

from .comparison import Row
from .contrast import Contrast
from .statistics import Difference, Mean
from .units import Unit, units_of

__all__ = ['SIGNIFICANT', 'contrast_legend', 'contrast_table', 'table_of_tests']

SIGNIFICANT = 0.05
EMPTY = '-'
EQUAL = ' (all equal)'


def contrast_table(contrast: Contrast, rows: Sequence[Row]) -> list[str]:
    """A row for each level in each cell: runs, then mean and difference of each metric.

    Args:
        contrast: What is compared.
        rows: Its numbers.

    Returns:
        The lines.
    """
    units = units_of(contrast.metrics, rows)
    compared = contrast.baseline is not None
    head = [*contrast.varied, contrast.factor, 'n']
    rule = ['---'] * (len(head) - 1) + ['---:']
    for metric, label in contrast.metrics.items():
        head += [label + units[metric].suffix, *(['Δ'] if compared else [])]
        rule += ['---:'] * (1 + compared)
    body = []
    for row in rows:
        finished = len(row.runs)
        runs = f'{finished}'
        if row.planned not in (0, finished):
            runs += f' of {row.planned}'
        cells = [*row.cell, row.level, runs]
        for metric, unit in units.items():
            cells.append(_mean(row.means.get(metric), unit, finished))
            if compared and row.level == contrast.baseline:
                cells.append('')
            elif compared:
                cells.append(_difference(row.differences.get(metric), unit, finished))
        body.append(cells)
    return _lines([head, rule, *body])


def contrast_legend(contrast: Contrast, rows: Sequence[Row]) -> str:
    """What the signs of a table mean, in one line."""
    text = 'Mean ± half of its 95% interval (Student) over n seeds.'
    if contrast.difference is not None:
        factor, level, other = contrast.difference
        text = f'Of {factor} = {level} less {factor} = {other} on the same seed: {text}'
    shown: list[Mean | Difference] = [
        one for row in rows for side in (row.means, row.differences) for one in side.values()
    ]
    if any(one.half is None and one.n > 1 for one in shown):
        text += ' All equal: without a spread there is no interval and no test.'
    if contrast.baseline is None:
        return text
    tests = sum(found.p is not None for row in rows for found in row.differences.values())
    text += (
        f' Δ: mean difference to {contrast.factor} = {contrast.baseline} on common seeds, in '
        'points where the column is in %'
    )
    if not contrast.tests:
        return f'{text}, with its 95% interval. Nothing is tested here.'
    if not tests:
        return f'{text}. No test: each needs two pairs that differ.'
    return (
        f'{text}, with the 95% interval of each by itself; bold where p < {SIGNIFICANT:g} in the '
        f'paired t-test after Holm over the {tests} test{"s" * (tests != 1)} of this table.'
    )


def table_of_tests(contrast: Contrast, rows: Sequence[Row]) -> list[str]:
    """A row for each difference: pairs, how many have the sign of the mean, p and Holm's p.

    Returns:
        The lines; none without a test.
    """
    head = [*contrast.varied, contrast.factor, 'metric', 'Δ', 'pairs', 'same sign', 'p', 'Holm']
    rule = ['---'] * (len(contrast.varied) + 2) + ['---:'] * 5
    if not any(found.p is not None for row in rows for found in row.differences.values()):
        return []
    units = units_of(contrast.metrics, rows)
    body = [
        [
            *row.cell,
            row.level,
            label + units[metric].suffix,
            units[metric].show(found.value, sign=True),
            f'{found.n}',
            f'{found.same_sign}',
            _p(found.p),
            _p(found.adjusted),
        ]
        for row in rows
        for metric, label in contrast.metrics.items()
        if (found := row.differences.get(metric)) is not None
    ]
    return _lines([head, rule, *body])


def _mean(mean: Mean | None, unit: Unit, runs: int) -> str:
    if mean is None:
        return EMPTY
    text = unit.show(mean.value)
    if mean.half is not None:
        text += f' ± {unit.show(mean.half)}'
    elif mean.n > 1:
        text += EQUAL
    return text if mean.n == runs else f'{text} (n = {mean.n})'


def _difference(found: Difference | None, unit: Unit, runs: int) -> str:
    if found is None:
        return EMPTY
    text = unit.show(found.value, sign=True)
    if found.half is not None:
        low, high = found.value - found.half, found.value + found.half
        text += f' [{unit.show(low, sign=True)}, {unit.show(high, sign=True)}]'
    elif found.n > 1:
        text += EQUAL
    if found.adjusted is not None and found.adjusted < SIGNIFICANT:
        text = f'**{text}**'
    if found.n == 1:
        return f'{text} (1 pair)'
    return text if found.n == runs else f'{text} ({found.n} pairs)'


def _p(p: float | None) -> str:
    if p is None:
        return EMPTY
    return '< 0.001' if p < 0.001 else f'{p:.3f}'


def _lines(table: Sequence[Sequence[str]]) -> list[str]:
    return ['| ' + ' | '.join(c.replace('|', r'\|') for c in cells) + ' |' for cells in table]

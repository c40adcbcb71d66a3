"""How the numbers of a metric are written: unit and digits."""

import math
import re
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

from .comparison import Row

__all__ = ['Unit', 'is_accuracy', 'units_of']

ACCURACY = re.compile(r'(linear|knn|low[-_]?shot|accuracy|class[-_]mean|others|top\d)')


class Unit(NamedTuple):
    """Of one metric in one table.

    Args:
        scale: Values are multiplied by it.
        decimals: Of values, half intervals and differences alike.
        suffix: Of the column's title.
    """

    scale: float
    decimals: int
    suffix: str

    def show(self, value: float, sign: bool = False) -> str:
        """The number as text.

        Args:
            value: Before scaling.
            sign: Whether a positive one has a plus. Then what is rounded to
                zero keeps its sign, too: it tells whether an interval ends
                before zero or behind it.

        Example:
            >>> unit = Unit(100, 1, ' (%)')
            >>> unit.show(0.0123, sign=True), unit.show(-0.0001), unit.show(-0.0001, sign=True)
            ('+1.2', '0.0', '-0.0')
        """
        text = f'{self.scale * value:{"+" if sign and value else ""}.{self.decimals}f}'
        return text if sign or float(text) else text.lstrip('-')


def is_accuracy(metric: str) -> bool:
    """Whether a metric is a fraction, by the parts of its name behind that of the task.

    Example:
        >>> is_accuracy('patterns/knn10'), is_accuracy('patterns/linear/few')
        (True, True)
        >>> is_accuracy('patterns/rankme'), is_accuracy('scenes-count/kl')
        (False, False)
    """
    parts = metric.split('/')
    return any(ACCURACY.match(part) or 'top1' in part for part in parts[1:] or parts)


def units_of(metrics: Iterable[str], rows: Sequence[Row]) -> dict[str, Unit]:
    """Two digits of the median half interval, of the differences where there are any.

    Accuracies are shown in %, all of a table with the same one to three
    decimals. Without an interval they have one, and others three digits of
    the largest value.

    Args:
        metrics: Names.
        rows: Of one table.
    """
    metrics = list(metrics)
    accuracies = [metric for metric in metrics if is_accuracy(metric)]
    percent = Unit(100.0, _decimals(accuracies, rows, 100.0, 1, 3), ' (%)')
    return {
        metric: percent
        if metric in accuracies
        else Unit(1.0, _decimals([metric], rows, 1.0, 0, 6), '')
        for metric in metrics
    }


def _decimals(metrics: list[str], rows: Sequence[Row], scale: float, least: int, most: int) -> int:
    places = [(row, metric) for row in rows for metric in metrics]
    differences = [row.differences[m].half for row, m in places if m in row.differences]
    means = [row.means[m] for row, m in places if m in row.means]
    halves = [half for half in differences if half] or [one.half for one in means if one.half]
    if halves:
        found = 1 - math.floor(math.log10(scale * median(halves)))
    elif scale == 1 and any(one.value for one in means):
        found = 2 - math.floor(math.log10(max(abs(one.value) for one in means)))
    else:
        found = least
    return min(max(found, least), most)

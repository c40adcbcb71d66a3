"""Where the rows of a contrast stand along the axis of its figure."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from .comparison import Row
from .contrast import Contrast

__all__ = ['Placing', 'Series', 'place_rows']

# From so many numbers on, a factor is an axis.
NUMBERS = 3
# From this ratio on, an axis of positive numbers is logarithmic.
RATIO = 16
# Neighbours nearer than this share of the axis have no room for their names.
NEAREST = 0.08


class Series(NamedTuple):
    """Rows that share colour and marker, with the place of each."""

    label: str
    rows: list[tuple[float, Row]]


class Placing(NamedTuple):
    """The axis of a figure and what stands along it.

    Args:
        series: In the order of their colours.
        ticks: Their places.
        names: At the ticks; the levels of a cell one below the other.
        axis: What the axis shows.
        legend: What the colours show; empty where the axis tells.
        numeric: Whether the axis is one of numbers, so that lines may join means.
        aside: How far dots are left, and means right, of a row's place.
        limits: Of the axis.
        slots: For how many rows side by side there must be room.
    """

    series: list[Series]
    ticks: list[float]
    names: list[str]
    axis: str
    legend: str
    numeric: bool
    aside: float
    limits: tuple[float, float]
    slots: float


def place_rows(contrast: Contrast, rows: Sequence[Row]) -> Placing:
    """Along the numbers of the factor, or cell by cell of the other factors.

    Numbers are to scale, linear or logarithmic, unless two of them would be
    too near to be named: then they stand evenly, and the axis says so.

    Args:
        contrast: What is compared.
        rows: Its numbers.
    """
    numbers = _numbers(contrast.levels)
    cells = list(dict.fromkeys(row.cell for row in rows))
    if numbers:
        return _along_numbers(contrast, rows, cells, numbers)
    return _by_cell(contrast, rows, cells)


def _numbers(levels: Sequence[str]) -> list[float]:
    try:
        found = [float(level) for level in levels]
    except ValueError:
        return []
    distinct = len(set(found)) == len(found) >= NUMBERS
    return found if distinct and all(map(math.isfinite, found)) else []


def _along_numbers(
    contrast: Contrast, rows: Sequence[Row], cells: list[tuple[str, ...]], numbers: list[float]
) -> Placing:
    """A series for each cell; their places differ a little, so that bars lie side by side."""
    note = ''
    logarithmic = min(numbers) > 0 and max(numbers) / min(numbers) >= RATIO
    scaled = [math.log(number) if logarithmic else number for number in numbers]
    low, reach = min(scaled), max(scaled) - min(scaled)
    ticks = [(place - low) / reach for place in scaled]
    ordered = sorted(ticks)
    if min(b - a for a, b in zip(ordered, ordered[1:])) < NEAREST:
        ticks = [ordered.index(tick) / (len(ticks) - 1) for tick in ticks]
        note = ' (not to scale)'
    elif logarithmic:
        note = ' (logarithmic)'
    step = min(0.02, 0.35 / (len(ticks) - 1) / max(len(cells), 1))
    series = []
    for place, cell in enumerate(cells):
        shift = (place - (len(cells) - 1) / 2) * step
        own = [
            (ticks[contrast.levels.index(row.level)] + shift, row)
            for row in rows
            if row.cell == cell
        ]
        series.append(Series(', '.join(cell), sorted(own, key=lambda pair: pair[0])))
    return Placing(
        series,
        ticks,
        list(contrast.levels),
        contrast.factor + note,
        ', '.join(contrast.varied),
        True,
        step / 4,
        (-0.06, 1.06),
        max(len(ticks) * (0.6 + 0.5 * len(cells)), 11),
    )


def _by_cell(contrast: Contrast, rows: Sequence[Row], cells: list[tuple[str, ...]]) -> Placing:
    """A series for each level; one cell has its levels for ticks."""
    levels = [level for level in contrast.levels if any(row.level == level for row in rows)]
    single = not contrast.varied
    middle = (len(levels) - 1) / 2
    step = 1.0 if single else 0.8 / max(len(levels), 1)
    series = [
        Series(
            level,
            [
                (cells.index(row.cell) + (place - middle) * step, row)
                for row in rows
                if row.level == level
            ],
        )
        for place, level in enumerate(levels)
    ]
    ticks = [p - middle for p in range(len(levels))] if single else [*map(float, range(len(cells)))]
    return Placing(
        series,
        ticks,
        levels if single else ['\n'.join(cell) for cell in cells],
        contrast.factor if single else ', '.join(contrast.varied),
        '' if single else contrast.factor,
        False,
        0.06 if single else 0.15 * step,
        (min(ticks, default=0.0) - 0.55, max(ticks, default=0.0) + 0.55),
        3.0 * len(levels) if single else len(cells) * (len(levels) + 0.5),
    )

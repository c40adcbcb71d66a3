"""The picture of a contrast: every run, means, paired differences, intervals."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..evaluation.plots import STYLE
from ..insight.prior_plots import PALETTE
from .comparison import Row
from .contrast import Contrast
from .placing import Placing, place_rows
from .tables import SIGNIFICANT
from .units import units_of

__all__ = ['plot_contrast']

INK, PALE = '#22272e', '#9aa3ad'
MARKERS = 'osD^vP'
# Inches.
WIDEST, NARROWEST, MARGIN, LETTER = 13.0, 3.4, 0.9, 0.085
HEIGHTS = (3.0, 2.1)
MOST_ROWS = 3
# How far the axis goes on behind the outermost dots for the sake of intervals.
BEYOND = 0.35


class _Mark(NamedTuple):
    """What is drawn of one row: dots by seed, their mean and half its interval."""

    x: float
    cell: tuple[str, ...]
    dots: dict[int, float]
    mean: float
    half: float
    filled: bool


def plot_contrast(path: str | Path, contrast: Contrast, rows: Sequence[Row]) -> None:
    """A panel a metric: dots are runs, larger marks means, bars 95% intervals.

    Below it are the paired differences to the baseline, where effects show
    that are small beside the distance of the cells; marks are filled where the
    adjusted p is below 0.05. A factor of three and more numbers is the axis,
    with a line for each cell of the other factors; of any other, the cells
    stand side by side and pale lines join the runs of one seed. Panels end
    soon behind the outermost dots: the interval of two may leave them. A metric
    that no row has gets no panel. Equal numbers give equal bytes.

    Args:
        path: File to write; its ending names the format.
        contrast: What is compared.
        rows: Its numbers; at least one metric has a mean.
    """
    import matplotlib
    from matplotlib.figure import Figure

    placing = place_rows(contrast, rows)
    units = units_of((m for m in contrast.metrics if any(m in row.means for row in rows)), rows)
    heights = HEIGHTS if any(row.differences for row in rows) else HEIGHTS[:1]
    # Many panels stand side by side, even where that is narrow: a column of eight is not looked at.
    abreast = min(-(-len(units) // MOST_ROWS), 3)
    width = min(max(MARGIN + placing.slots * 0.32, NARROWEST), WIDEST / abreast)
    lines = -(-len(units) // max(int(WIDEST // width), 1))
    columns = -(-len(units) // lines)
    with matplotlib.rc_context(STYLE):
        figure = Figure(
            figsize=(width * columns, sum(heights) * lines + 0.6 * bool(placing.legend)),
            layout='constrained',
        )
        grid = figure.subplots(
            len(heights) * lines, columns, squeeze=False, height_ratios=heights * lines
        )
        room = (width - MARGIN) / max(len(placing.ticks), 1)
        handles: dict[str, Any] = {}
        for place in range(lines * columns):
            line, column = divmod(place, columns)
            stack = grid[line * len(heights) : (line + 1) * len(heights), column]
            if place >= len(units):
                for axis in stack:
                    axis.set_visible(False)
                continue
            metric = list(units)[place]
            title = contrast.metrics[metric] + units[metric].suffix
            _panel(stack[0], placing, metric, units[metric].scale, handles)
            stack[0].set_title(title)
            if len(stack) > 1:
                stack[0].tick_params(labelbottom=False)
                stack[1].axhline(0, color=INK, lw=1.0, zorder=1)
                _panel(stack[1], placing, metric, units[metric].scale, handles, paired=True)
                named = f'{contrast.factor} = ' * placing.numeric
                stack[1].set_ylabel(f'Δ to {named}{contrast.baseline}')
            _name_ticks(stack[-1], placing, room)
        figure.align_ylabels()
        if placing.legend:
            most = int(width * columns / (0.6 + LETTER * max(map(len, handles))))
            figure.legend(
                list(handles.values()),
                list(handles),
                loc='outside lower center',
                ncols=min(max(most, 1), len(handles)),
                title=placing.legend,
            )
        # The name of the software would change the bytes with its version.
        figure.savefig(path, metadata={'Software': None} if Path(path).suffix == '.png' else None)


def _panel(
    axis: Any,
    placing: Placing,
    metric: str,
    scale: float,
    handles: dict[str, Any],
    paired: bool = False,
) -> None:
    every = []
    for place, series in enumerate(placing.series):
        marks = [
            mark
            for x, row in series.rows
            if (mark := _mark(x, row, metric, scale, paired)) is not None
        ]
        color = PALETTE[place % len(PALETTE)]
        marker = MARKERS[place // len(PALETTE) % len(MARKERS)]
        handle = _draw(axis, marks, color, marker, placing)
        handles.setdefault(series.label, handle)
        every += marks
    if not placing.numeric:
        _join_seeds(axis, every, placing.aside)
    _limit(axis, every, zero=paired)
    axis.set_xticks(placing.ticks)
    axis.set_xlim(*placing.limits)
    axis.grid(axis='x', visible=placing.numeric)


def _mark(x: float, row: Row, metric: str, scale: float, paired: bool) -> _Mark | None:
    found = row.differences.get(metric) if paired else row.means.get(metric)
    if found is None:
        return None
    dots = {seed: scale * v for seed, v in (row.pairs if paired else row.values)[metric].items()}
    filled = True
    if paired:
        adjusted = row.differences[metric].adjusted
        filled = adjusted is not None and adjusted < SIGNIFICANT
    return _Mark(x, row.cell, dots, scale * found.value, scale * (found.half or 0.0), filled)


def _draw(axis: Any, marks: Sequence[_Mark], color: str, marker: str, placing: Placing) -> Any:
    """Dots, and right of them means and intervals, of one series; the handle for the legend."""
    for mark in marks:
        at = [mark.x - placing.aside] * len(mark.dots)
        axis.plot(at, [*mark.dots.values()], 'o', color=color, ms=3.6, alpha=0.55, mew=0, zorder=3)
    xs, means = [mark.x + placing.aside for mark in marks], [mark.mean for mark in marks]
    halves = [mark.half for mark in marks]
    style = dict(color=color, marker=marker, ms=6, mec='white', mew=0.8)
    axis.errorbar(xs, means, yerr=halves, fmt='none', ecolor=color, elinewidth=1.6, zorder=4)
    if placing.numeric:
        axis.plot(xs, means, color=color, zorder=4)
    for x, mark in zip(xs, marks):
        hollow = {} if mark.filled else dict(mfc='white', mec=color, mew=1.4, ms=5)
        axis.plot([x], [mark.mean], ls='none', zorder=5, **(style | hollow))
    # Drawn nowhere: what stands for the series in the legend.
    return axis.plot([], [], ls='-' if placing.numeric else 'none', **style)[0]


def _join_seeds(axis: Any, marks: Sequence[_Mark], aside: float) -> None:
    """Pale lines between the runs of one seed in one cell: what the paired tests compare."""
    by_seed: dict[tuple[tuple[str, ...], int], list[tuple[float, float]]] = {}
    for mark in marks:
        for seed, value in mark.dots.items():
            by_seed.setdefault((mark.cell, seed), []).append((mark.x - aside, value))
    for points in by_seed.values():
        axis.plot(*zip(*points), color=PALE, lw=0.7, alpha=0.6, zorder=2)


def _limit(axis: Any, marks: Sequence[_Mark], zero: bool) -> None:
    """Around the dots: the interval of two would leave no room to see a difference in."""
    dots = [value for mark in marks for value in mark.dots.values()] + [0.0] * zero
    if not marks:
        axis.set_yticks([])
        axis.text(0.5, 0.6, 'no common seed', transform=axis.transAxes, ha='center', color=PALE)
        return
    ends = [mark.mean + side * mark.half for mark in marks for side in (-1, 1)]
    low, high = min(dots), max(dots)
    spread = high - low or abs(high) * 0.05 or 1.0
    bottom = max(min(low, *ends), low - BEYOND * spread) - 0.06 * spread
    top = min(max(high, *ends), high + BEYOND * spread) + 0.06 * spread
    axis.set_ylim(bottom, top)


def _name_ticks(axis: Any, placing: Placing, room: float) -> None:
    """Names at the ticks, turned where they would run into each other."""
    letters = [len(line) for text in placing.names for line in text.split('\n')]
    if max(letters, default=0) * LETTER > room:
        names = [text.replace('\n', ', ') for text in placing.names]
        axis.set_xticks(placing.ticks, names, rotation=30, ha='right', rotation_mode='anchor')
    else:
        axis.set_xticks(placing.ticks, placing.names)
    axis.set_xlabel(placing.axis)

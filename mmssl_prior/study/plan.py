"""What a study would do: its cells, the commands that are missing, and what they cost."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

from .cells import Cell, Run, study_runs
from .execution import progress
from .rows import Row, by_run
from .study import Study

__all__ = ['core_minutes', 'earlier_line', 'mixed_versions', 'plan', 'stale_line']

VERSIONS = ('mmssl_prior', 'torch', 'mmengine', 'mmpretrain', 'device')


def core_minutes(run: Run, rows: Sequence[Row]) -> float | None:
    """Median of what runs of the same config and overrides took, of whatever code and seed.

    None if there are none: a run with other overrides says nothing of it.
    """
    alike = [row for row in rows if (row.config, row.options) == (run.name, run.options)]
    return median(row.core_minutes for row in alike) if alike else None


def mixed_versions(rows: Sequence[Row]) -> str:
    """A line on versions that differ between rows; empty where they are the same."""
    mixed = []
    for name in VERSIONS:
        values = sorted({getattr(row, name) for row in rows})
        if len(values) > 1:
            mixed.append(f'{name} ({", ".join(values)})')
    return f'rows of different {"; ".join(mixed)} stand side by side' if mixed else ''


def plan(
    study: Study,
    cells: Sequence[Cell],
    rows: Sequence[Row],
    work_dir: Path,
    slots: int,
    evaluate: Callable[[Run], str],
) -> str:
    """The dry run of a study.

    Args:
        study: The study.
        cells: Its cells.
        rows: Of the table.
        work_dir: Folder of the runs' folders.
        slots: Runs at a time.
        evaluate: Command that evaluates a run.
    """
    runs = study_runs(cells)
    state, found = progress(runs, rows), by_run(rows)
    stale = {row.identity for row in state.stale}
    lines = [f'{study.title}: {study.question}', '', *_table(study, cells, found, stale)]
    lines += ['', f'{len(cells)} cells, {len(runs)} runs: {len(state.done)} done']
    lines[-1] += f', {len(state.missing)} missing'
    if state.stale:
        lines.append(stale_line(state.stale))
    if state.missing:
        lines += ['', *_commands(state.missing, work_dir, evaluate), '']
        lines.append(_cost(state.missing, rows, slots))
    return '\n'.join(lines)


def stale_line(stale: Sequence[Row]) -> str:
    """How many rows are left aside."""
    return (
        f'{len(stale)} rows of the table are of the same runs under other code, settings or '
        'evaluation: they stay there and are not used'
    )


def earlier_line(found: Mapping[str, Row]) -> str:
    """What of a page is of earlier code; empty where nothing is."""
    earlier = {
        (row.config, row.code): row.date for key, row in found.items() if row.evaluated != key
    }
    named = [f'`{config}` (code {code}, {date})' for (config, code), date in earlier.items()]
    if not named:
        return ''
    return f'Of earlier code, settings or evaluation: the runs of {", ".join(sorted(named))}.'


def _table(
    study: Study, cells: Sequence[Cell], found: dict[str, Row], stale: set[tuple]
) -> list[str]:
    """A line for each combination of levels, with the state of its seeds."""
    head = [*study.factors, 'seeds', 'done', 'missing', 'of them stale']
    seeds: dict[tuple[str, ...], list[Run]] = {}
    for cell in cells:
        seeds.setdefault(tuple(cell.factors.values()), []).append(cell.run)
    body = []
    for levels, runs in seeds.items():
        missing = [run for run in runs if run.evaluated not in found]
        before = sum((run.name, run.options, run.variables) in stale for run in missing)
        numbers = ' '.join(str(run.seed) for run in runs)
        counts = (len(runs) - len(missing), len(missing), before)
        body.append([*levels, numbers, *map(str, counts)])
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    return [
        '  '.join(text.ljust(width) for text, width in zip(line, widths)).rstrip()
        for line in [head, *body]
    ]


def _commands(missing: Sequence[Run], work_dir: Path, evaluate: Callable[[Run], str]) -> list[str]:
    lines = []
    for run in missing:
        lines += [run.command(work_dir / run.trained), f'    {evaluate(run)}']
    return lines


def _cost(missing: Sequence[Run], rows: Sequence[Row], slots: int) -> str:
    costs = [core_minutes(run, rows) for run in missing]
    known = [cost for cost in costs if cost is not None]
    if not known:
        return 'estimated cost: unknown, no run of these configs and overrides is in the table'
    total = sum(known)
    text = f'estimated cost: {_hours(total)} of one core, {_hours(total / slots)} in {slots} slots'
    unknown = len(costs) - len(known)
    return f'{text}; and {unknown} runs of unknown cost' if unknown else text


def _hours(minutes: float) -> str:
    return f'{minutes:.1f} min' if minutes < 90 else f'{minutes / 60:.1f} h'

"""A study carried out: what is missing is run, and its rows are collected."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..errors import Preempted, printable
from ..evaluation.tasks import select_tasks
from .cells import Cell, Run, is_current
from .pool import Pool
from .rows import Row, add_rows, by_run, is_stale
from .study import Study
from .work import BUSY, LOG, Job, Tools, read_row, refuse, work

__all__ = ['PRELOADED_TASKS', 'Outcome', 'Progress', 'collect', 'execute', 'progress']

#: Variable that tells the processes' server which tasks there will be.
PRELOADED_TASKS = 'MMSSL_PRIOR_PRELOADED_TASKS'


class Progress(NamedTuple):
    """Runs of a study that are finished and missing, and rows that are not used beside them."""

    done: list[Run]
    missing: list[Run]
    stale: list[Row]


class Outcome(NamedTuple):
    """What a call has done."""

    finished: int
    failed: int
    busy: int
    stopped: str


def progress(runs: Sequence[Run], rows: Sequence[Row]) -> Progress:
    """What of the runs the rows hold.

    Args:
        runs: Of a study.
        rows: Of the table.
    """
    found = by_run(rows)
    stale = {row.evaluated: row for row in rows if any(is_stale(row, run) for run in runs)}
    current = {run.evaluated for run in runs}
    return Progress(
        [run for run in runs if run.evaluated in found],
        [run for run in runs if run.evaluated not in found],
        [row for key, row in stale.items() if key not in current],
    )


def collect(runs: Sequence[Run], work_dir: Path, results: Path) -> int:
    """Add the rows that runs have left in their folders; how many there were."""
    left = [read_row(work_dir / run.trained, run.evaluated) for run in runs]
    rows = [row for row in left if row is not None]
    return add_rows(results, rows) if rows else 0


def execute(
    study: Study,
    cells: Sequence[Cell],
    runs: Sequence[Run],
    tools: Tools,
    work_dir: Path,
    slots: Sequence[Mapping[str, str]],
    preload: Sequence[str],
    results: Path | None,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Run what is missing.

    Args:
        study: The study.
        cells: Its cells, whose levels name the runs.
        runs: Those that are missing.
        tools: What trains and evaluates.
        work_dir: Folder of the runs' folders.
        slots: Variables of the environment of each slot.
        preload: Modules that each process begins with.
        results: Table of rows; None leaves them in the runs' folders.
        say: Is told the progress.
    """
    names = ' '.join(task.name for task in select_tasks(study.evaluation['tasks']))
    pool = Pool(slots, preload, {PRELOADED_TASKS: names})
    report = _Report(_names(cells), len(runs), results, say)

    cell_of = {cell.run.evaluated: cell for cell in cells}

    def target(job: Job, slot: Mapping[str, str]) -> tuple:
        # Its row would say that it is of what the digests were made of.
        if not is_current(study, cell_of[job.run.evaluated]):
            return refuse, job
        return work, replace(job, environment={**os.environ, **slot}), tools

    jobs = [Job(run, (work_dir / run.trained).resolve(), study.evaluation, {}) for run in runs]
    pool.run(jobs, target, report.ended)
    return Outcome(report.finished, report.failed, report.busy, pool.stopped)


class _Report:
    """A line for each run that ends, with the time that is left."""

    def __init__(
        self,
        names: Mapping[str, str],
        total: int,
        results: Path | None,
        say: Callable[[str], None],
    ) -> None:
        self.names, self.total, self.results, self.say = names, total, results, say
        self.started = time.monotonic()
        self.finished = self.failed = self.busy = 0

    def ended(self, job: Job, status: int) -> None:
        name = self.names[job.run.evaluated]
        log = printable(job.folder / LOG)
        if status == 0:
            row = read_row(job.folder, job.run.evaluated)
            assert row is not None
            if self.results is not None:
                add_rows(self.results, [row])
            self.finished += 1
            self.say(f'{self._place()} {name}: {row.core_minutes:.1f} core minutes{self._time()}')
        elif status == BUSY:
            self.busy += 1
            self.say(f'{self._place()} {name}: another process has it')
        elif status in (Preempted.STATUS, -15, 130):
            self.say(f'{name}: stopped; the next call goes on')
        else:
            self.failed += 1
            self.say(f'{self._place()} {name}: FAILED ({_last_error(job.folder / LOG)}); see {log}')

    def _place(self) -> str:
        return f'[{self.finished + self.failed + self.busy}/{self.total}]'

    def _time(self) -> str:
        elapsed = time.monotonic() - self.started
        ended = self.finished + self.failed + self.busy
        left = elapsed / ended * (self.total - ended)
        return f', {_clock(elapsed)} gone, about {_clock(left)} left'


def _names(cells: Sequence[Cell]) -> dict[str, str]:
    """Runs by their levels and seed; of several cells with the same run the first names it."""
    names: dict[str, str] = {}
    for factors, run in cells:
        levels = ' '.join(f'{factor}={level}' for factor, level in factors.items())
        names.setdefault(run.evaluated, f'{levels} seed={run.seed}')
    return names


def _clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f'{minutes // 60}:{minutes % 60:02} h'


def _last_error(log: Path) -> str:
    """The line that says why; of a traceback its last."""
    try:
        lines = log.read_text(encoding='utf-8', errors='replace').splitlines()
    except OSError:
        return 'no log was written'
    lines = [line.strip() for line in lines if line.strip()]
    errors = [line for line in lines[-50:] if line.startswith('error')]
    return (errors or lines or ['the log is empty'])[-1]

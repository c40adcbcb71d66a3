"""The body of ``tools/study.py``: a grid of configs over seeds, what is missing of it is run."""

import argparse
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmssl_prior.cli import evaluate, train
from mmssl_prior.cli.boundary import run_guarded
from mmssl_prior.errors import Preempted, UserError, printable
from mmssl_prior.study import (
    Cell,
    Observation,
    Row,
    Run,
    Study,
    read_rows,
    read_study,
    study_cells,
    study_runs,
)
from mmssl_prior.study.execution import Outcome, collect, execute, progress
from mmssl_prior.study.plan import earlier_line, mixed_versions, plan, stale_line
from mmssl_prior.study.rows import by_run, observations, rows_to_report
from mmssl_prior.study.work import Tools, evaluation_arguments, read_row

__all__ = ['main', 'parse_args']

TASK = 'SLURM_ARRAY_TASK_ID'
#: What each process of a run begins with.
PRELOAD = ('mmssl_prior.cli.preloaded',)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Run what is missing of a study, and collect it in one table; the same '
        'command goes on where it stopped'
    )
    parser.add_argument('study', help='study file, see docs/studies.md')
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='print the grid, the commands that are missing, and what they are expected to cost',
    )
    parser.add_argument('--only', metavar='GRID', help='one grid of the study, by name or number')
    parser.add_argument(
        '--slots',
        type=int,
        metavar='N',
        help='runs at a time (default: one for each core, or each of --gpus)',
    )
    parser.add_argument(
        '--gpus', metavar='0,1,...', help='GPUs that the slots take in turn; without, no choice'
    )
    parser.add_argument(
        '--work-dir',
        default='work_dirs/studies',
        metavar='DIR',
        help="folder of the runs' folders, shared by studies (default: work_dirs/studies)",
    )
    parser.add_argument(
        '--results',
        default='docs/results/runs.csv',
        metavar='FILE',
        help='table of finished runs, shared by studies; the same as JSON lies beside it '
        '(default: docs/results/runs.csv)',
    )
    parser.add_argument(
        '--task',
        type=int,
        metavar='I',
        help='one run, by its place from 0 in the study or --only; its row stays in its folder '
        f'until a call without --task collects it (default: ${TASK})',
    )
    parser.add_argument(
        '--list-missing',
        action='store_true',
        help='print the places of the runs that are missing, as sbatch --array takes them',
    )
    parser.add_argument(
        '--report',
        nargs='?',
        const='docs',
        metavar='DIR',
        help='write tables and figures of the runs that are finished into a folder of pages '
        '(default: docs), and train nothing',
    )
    args = parser.parse_args(argv)
    if args.slots is not None and args.slots < 1:
        parser.error('--slots must be at least 1')
    if args.task is None and os.environ.get(TASK, '').isdigit():
        args.task = int(os.environ[TASK])
    if Path(args.results).suffix != '.csv':
        parser.error('--results must end with .csv')
    return args


def _slots(args: argparse.Namespace) -> list[Mapping[str, str]]:
    gpus = [gpu.strip() for gpu in (args.gpus or '').split(',') if gpu.strip()]
    if args.gpus and not gpus:
        raise UserError(f'--gpus {args.gpus}: expected numbers such as 0,1')
    if args.task is not None:
        return [{}]
    number = args.slots or len(gpus) or len(os.sched_getaffinity(0))
    if not gpus:
        return [{}] * number
    return [dict(CUDA_VISIBLE_DEVICES=gpus[slot % len(gpus)]) for slot in range(number)]


def _evaluate_command(study: Study, folder: Path, run: Run) -> str:
    words = evaluation_arguments(study.evaluation)
    out = folder / f'evaluation-{run.evaluated}'
    checkpoint = f'{shlex.quote(str(folder))}/CHECKPOINT'
    return f'python tools/evaluate.py {checkpoint} {shlex.join([*words, "--out", str(out)])}'


def _rows(runs: Sequence[Run], work_dir: Path, results: Path) -> list[Row]:
    """The table, and what runs have left in their folders besides; nothing is written."""
    rows = read_rows(results)
    left = (read_row(work_dir / run.trained, run.evaluated) for run in runs)
    known = by_run(rows)
    return [*rows, *(row for row in left if row is not None and row.evaluated not in known)]


def _one_task(args: argparse.Namespace, runs: Sequence[Run]) -> list[Run]:
    if not 0 <= args.task < len(runs):
        raise UserError(f'--task {args.task}: the study has runs 0 to {len(runs) - 1}')
    return [runs[args.task]]


def _places(runs: Sequence[Run], missing: Sequence[Run]) -> str:
    """Places of the missing runs, neighbours as a range: ``0-3,7``."""
    keys = {run.evaluated for run in missing}
    ranges: list[list[int]] = []
    for place, run in enumerate(runs):
        if run.evaluated in keys:
            if ranges and ranges[-1][-1] == place - 1:
                ranges[-1][1:] = [place]
            else:
                ranges.append([place])
    return ','.join('-'.join(map(str, ends)) for ends in ranges)


def _end(outcome: Outcome) -> None:
    if outcome.stopped == 'SIGINT':
        raise KeyboardInterrupt
    if outcome.stopped:
        raise Preempted(f'{outcome.stopped}: the runs have stopped')
    if outcome.failed:
        raise UserError(f'{outcome.failed} runs failed, see above; the same command tries again')


def _say_finished(runs: Sequence[Run], rows: Sequence[Row], results: Path) -> None:
    used = by_run(rows)
    mixed = mixed_versions([used[run.evaluated] for run in runs if run.evaluated in used])
    if mixed:
        _say(f'note: {mixed}')
    finished = sum(run.evaluated in used for run in runs)
    _say(f'{finished} of {len(runs)} runs are in {printable(results)}')


def _report(study: Study, cells: Sequence[Cell], rows: Sequence[Row], out: Path) -> None:
    from mmssl_prior.study.report import write_report

    found = rows_to_report(cells, rows)
    planned = [Observation(cell.factors, cell.run.seed, {}) for cell in cells]
    note = earlier_line(found)
    for path in write_report(study, observations(cells, found), out, planned, note):
        _say(printable(path))
    if note:
        _say(note)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parse_args(argv)

    def body() -> None:
        study, slots = read_study(args.study), _slots(args)
        evaluate.parse_args(['checkpoint', *evaluation_arguments(study.evaluation)])
        cells = study_cells(study, args.only)
        runs = study_runs(cells)
        work_dir, results = Path(args.work_dir), Path(args.results)
        rows = _rows(runs, work_dir, results)
        if args.list_missing:
            print(_places(runs, progress(runs, rows).missing))
            return
        if args.dry_run:
            print(
                plan(
                    study,
                    cells,
                    rows,
                    work_dir,
                    len(slots),
                    lambda run: _evaluate_command(study, work_dir / run.trained, run),
                )
            )
            return
        if args.report:
            collect(runs, work_dir, results)
            _report(study, cells, rows, Path(args.report))
            return
        wanted = runs if args.task is None else _one_task(args, runs)
        if args.task is None:
            collect(runs, work_dir, results)
        state = progress(wanted, rows)
        _say(f'{len(wanted)} runs: {len(state.done)} done, {len(state.missing)} missing')
        if state.stale:
            _say(stale_line(state.stale))
        outcome = execute(
            study,
            cells,
            state.missing,
            Tools(train.main, evaluate.main),
            work_dir,
            slots,
            PRELOAD,
            results if args.task is None else None,
            _say,
        )
        rows = _rows(runs, work_dir, results)
        if args.task is None:
            _say_finished(runs, rows, results)
        _end(outcome)

    return run_guarded(body, lambda: 'interrupted; the same command goes on where this one stopped')


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == '__main__':
    raise SystemExit(main())

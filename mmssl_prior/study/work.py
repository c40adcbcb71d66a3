"""One run in a process of its own: trained, evaluated, measured, and its row written."""

import datetime
import fcntl
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import mmengine
import mmpretrain
import torch

from ..config import latest_checkpoint
from ..errors import Preempted, UserError
from ..version import __version__
from .cells import Run
from .metrics import evaluation_metrics
from .rows import Row
from .structure import prototype_metrics

__all__ = ['BUSY', 'FAILED', 'Job', 'Tools', 'evaluation_arguments', 'read_row', 'refuse', 'work']

FAILED, BUSY = 1, 4  # exit status; BUSY where another process has the run
LOG, LOCK, ROW, TRAINED, COST = 'log.txt', 'lock', 'row.json', 'trained.json', 'cost.json'
#: In place of the four of tools/evaluate.py: one core has one run.
WORKERS = 0


class Tools(NamedTuple):
    """The command lines that a run consists of: from arguments to an exit status."""

    train: Callable[[Sequence[str]], int]
    evaluate: Callable[[Sequence[str]], int]


@dataclass(frozen=True)
class Job:
    """What a process is given.

    Args:
        run: The run.
        folder: Of the run.
        evaluation: Arguments of ``tools/evaluate.py`` by name.
        environment: All variables, the slot's among them.
    """

    run: Run
    folder: Path
    evaluation: Mapping[str, Any]
    environment: Mapping[str, str]


def evaluation_arguments(evaluation: Mapping[str, Any]) -> list[str]:
    """A study's evaluation as arguments of ``tools/evaluate.py``.

    Example:
        >>> evaluation_arguments(dict(tasks=['digits'], data_root='data'))
        ['--tasks', 'digits', '--data-root', 'data', '--workers', '0']
    """
    words = []
    for name, value in {**evaluation, 'workers': evaluation.get('workers', WORKERS)}.items():
        if value is None:
            continue
        values = value if isinstance(value, (list, tuple)) else [value]
        words += [f'--{name.replace("_", "-")}', *map(str, values)]
    return words


def work(job: Job, tools: Tools) -> None:
    """Body of the process; ends it with the status.

    0 once ``row.json`` is written, 75 after SIGTERM, to go on later, 4 if
    another process has the run, else 1; what went wrong is in ``log.txt``.
    """
    # Ctrl-C is the parent's: it asks with SIGTERM, behind which a training writes a checkpoint.
    os.setsid()
    os.environ.clear()
    os.environ.update({'OMP_NUM_THREADS': '1', **job.environment, **dict(job.run.environment)})
    # The server's would else be that of the fork's own workers.
    multiprocessing.set_start_method(None, force=True)
    job.folder.mkdir(parents=True, exist_ok=True)
    with open(job.folder / LOCK, 'w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit(BUSY)
        _redirect(job.folder / LOG)
        signal.signal(signal.SIGTERM, _leave)
        with _cost(job.folder):
            status = _guarded(job, tools)
        sys.exit(status)


def refuse(job: Job) -> None:
    """In place of :func:`work` for a run that is no longer the one that was asked for."""
    job.folder.mkdir(parents=True, exist_ok=True)
    with (job.folder / LOG).open('a', encoding='utf-8') as log:
        log.write('error: its config or the code has changed since this call began; start again\n')
    sys.exit(FAILED)


def read_row(folder: Path, evaluated: str) -> Row | None:
    """The row that a run has left in its folder, if it is of this evaluation."""
    try:
        row = Row(**json.loads((folder / ROW).read_text(encoding='utf-8')))
    except (OSError, ValueError, TypeError):
        return None
    return row if row.evaluated == evaluated else None


def _leave(number: int, frame: FrameType | None) -> None:
    raise Preempted(f'{signal.Signals(number).name}: stopped; the next call goes on')


def _redirect(path: Path) -> None:
    """All output, also that of programs that are started, behind what was there."""
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in (1, 2):
        os.dup2(descriptor, number)
    os.close(descriptor)
    sys.stdout, sys.stderr = (open(number, 'w', 1, closefd=False) for number in (1, 2))


def _guarded(job: Job, tools: Tools) -> int:
    try:
        return _stages(job, tools)
    except Preempted as ending:
        print(ending, file=sys.stderr)
        return Preempted.STATUS
    except SystemExit as ending:  # of an argument parser
        return ending.code if isinstance(ending.code, int) else FAILED
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
    except Exception:
        traceback.print_exc()
    return FAILED


def _stages(job: Job, tools: Tools) -> int:
    status, checkpoint = _trained(job, tools)
    if status or checkpoint is None:
        return status or FAILED
    out = job.folder / f'evaluation-{job.run.evaluated}'
    arguments = [str(checkpoint), *evaluation_arguments(job.evaluation), '--out', str(out)]
    status = tools.evaluate(arguments)
    if status:
        return status
    metrics = evaluation_metrics(json.loads((out / 'results.json').read_text(encoding='utf-8')))
    batch_size = job.evaluation.get('batch_size', 64)
    workers = job.evaluation.get('workers', WORKERS)
    metrics |= prototype_metrics(checkpoint, job.folder / 'predictions', batch_size, workers)
    row = _row(job, metrics)
    _write(job.folder / ROW, asdict(row))
    return 0


def _trained(job: Job, tools: Tools) -> tuple[int, Path | None]:
    """Status of the training, and its last checkpoint; a finished one is not begun again."""
    done = job.folder / TRAINED
    if not done.is_file() or not _checkpoint(job.folder):
        print(f'\n{job.run.command(job.folder)}')
        if job.run.launch is not None:
            status = _launched(job.run.launched(job.folder))
        else:
            status = tools.train([str(job.run.config), *job.run.arguments(job.folder)])
        if status:
            return status, None
        _write(done, dict(command=job.run.command(job.folder)))
    checkpoint = _checkpoint(job.folder)
    if checkpoint is None:
        print(
            f'error: {job.folder}: the training has left no checkpoint; default_hooks.checkpoint '
            'must write the last one',
            file=sys.stderr,
        )
    return 0, checkpoint


def _checkpoint(folder: Path) -> Path | None:
    found = latest_checkpoint(folder)
    return Path(found) if found is not None else None


def _launched(command: Sequence[str]) -> int:
    process = subprocess.Popen(command)
    # The launcher passes it on to its ranks, and ends with their status.
    before = signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _cost(folder: Path) -> Iterator[None]:
    """Add the processor time of this attempt to that of earlier ones."""
    try:
        yield
    finally:
        _write(folder / COST, dict(core_minutes=_spent(folder)))


def _spent(folder: Path) -> float:
    """Minutes of processor time of earlier attempts and of this process so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    try:
        before = json.loads((folder / COST).read_text(encoding='utf-8'))['core_minutes']
    except (OSError, ValueError, KeyError):
        before = 0.0
    return round(before + sum(one.ru_utime + one.ru_stime for one in used) / 60, 4)


def _row(job: Job, metrics: Mapping[str, float]) -> Row:
    run = job.run
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU'
    return Row(
        trained=run.trained,
        evaluated=run.evaluated,
        code=run.code,
        config=run.name,
        options=run.options,
        environment=run.variables,
        seed=run.seed,
        core_minutes=_spent(job.folder),
        date=datetime.date.today().isoformat(),
        mmssl_prior=__version__,
        torch=str(torch.__version__),
        mmengine=mmengine.__version__,
        mmpretrain=mmpretrain.__version__,
        device=device,
        metrics=dict(sorted(metrics.items())),
    )


def _write(path: Path, content: Any) -> None:
    part = path.with_name(f'.{path.name}.part')
    part.write_text(json.dumps(content, indent=1), encoding='utf-8')
    part.replace(path)

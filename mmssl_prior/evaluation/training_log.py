"""The scalars that a training run logged, across resumes."""

import json
import math
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any, NamedTuple

from ..errors import UserError

__all__ = ['TrainTime', 'read_training_log', 'train_time']

# What a validation logs of itself under the names of the training's own.
TIMES = ('time', 'data_time')


class TrainTime(NamedTuple):
    """Seconds of an iteration: mean, by epoch (where logged), and of it the wait for data."""

    mean: float
    by_epoch: dict[int, float]
    data_share: float
    iterations: int

    @property
    def spread(self) -> float:
        """Standard deviation over the epochs."""
        return pstdev(self.by_epoch.values()) if self.by_epoch else 0.0


def _files(path: Path) -> list[Path]:
    """The logs of a work dir, or of one run in it, or a log itself."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f'{path}: no such folder')
    return sorted(path.glob('*/vis_data/scalars.json')) or sorted(
        path.glob('vis_data/scalars.json')
    )


def _records(file: Path) -> list[dict[str, Any]]:
    """The lines of a log that have a step."""
    records = []
    try:
        lines = file.read_text(encoding='utf-8').splitlines()
    except UnicodeDecodeError:
        raise UserError(f'{file}: not a text file') from None
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            if number == len(lines) and number > 1:
                # An interrupted run leaves half a line at the end.
                break
            raise UserError(f'{file}:{number}: not a line of JSON') from None
        if not isinstance(record, dict):
            raise UserError(f'{file}:{number}: not a log of MMEngine, whose lines are {{...}}')
        if 'step' in record:
            records.append(record)
    return records


def _no_log(path: Path) -> UserError:
    return UserError(
        f'{path}: no */vis_data/scalars.json with logged values; was training '
        'run there, with a LocalVisBackend?'
    )


def read_training_log(
    path: str | Path, by_epoch: bool = False
) -> dict[str, tuple[list[float], list[float]]]:
    """Read what MMEngine's ``LocalVisBackend`` wrote, one curve for each scalar.

    A resumed run writes into a new folder; where two runs logged the same
    step, the later one counts, and steps after its start are the later run's
    alone, as the weights are. The times that a validation logs of itself are
    left out: they have the names of the training's.

    Args:
        path: Folder with ``<timestamp>/vis_data/scalars.json``, or one of
            these folders or files.
        by_epoch: Put everything on the axis of epochs; no effect on a log
            without epochs.

    Returns:
        For each name steps in increasing order (iterations for what training
        logs, epochs for what validation logs in epoch-based runs) and values.

    Raises:
        UserError: If there is no log, or a line of it is not JSON.
    """
    path = Path(path)
    curves: dict[str, dict[int, float]] = {}
    trained: set[str] = set()
    for file in _files(path):
        fresh: set[str] = set()
        for record in _records(file):
            step = int(record.pop('step'))
            if 'iter' in record:
                trained.update(record)
            else:
                record = {name: record[name] for name in record if name not in TIMES}
            for name, value in record.items():
                if not isinstance(value, (int, float)):
                    continue
                curve = curves.setdefault(name, {})
                if name not in fresh:
                    fresh.add(name)
                    for later in [s for s in curve if s > step]:
                        del curve[later]
                curve[step] = float(value)
    if not curves:
        raise _no_log(path)
    length = _epoch_length(curves.get('epoch', {})) if by_epoch else 1
    return {
        name: (
            [step / length if name in trained else step for step in sorted(curve)],
            [curve[step] for step in sorted(curve)],
        )
        for name, curve in curves.items()
    }


def _epoch_length(epochs: dict[int, float]) -> int:
    """Iterations of an epoch, from the epoch of each logged iteration."""
    # An iteration of epoch e is at most e times the length of an epoch; logged ones come close.
    return math.ceil(max((step / epoch for step, epoch in epochs.items()), default=1))


def train_time(path: str | Path, include_first: bool = False) -> TrainTime:
    """Seconds of an iteration, as logged.

    Logged times are means over the window of the log processor. The first
    value of each epoch holds the start of the loader's workers; it is left
    out where the epoch has others.

    Args:
        path: As for :func:`read_training_log`.
        include_first: Count the first value of each epoch as well.

    Raises:
        UserError: If there is no log, or it has no times.
    """
    path = Path(path)
    steps: dict[int, dict[str, Any]] = {}
    for file in _files(path):
        records = [record for record in _records(file) if 'iter' in record]
        if records:
            steps = {step: old for step, old in steps.items() if step < records[0]['step']}
        steps.update((int(record['step']), record) for record in records)
    if not steps:
        raise _no_log(path)
    timed = [steps[step] for step in sorted(steps) if 'time' in steps[step]]
    if not timed:
        raise UserError(f'{path}: no times were logged; add an IterTimerHook to default_hooks')
    epochs: dict[int, list[dict[str, Any]]] = {}
    for record in timed:
        epochs.setdefault(int(record.get('epoch', 0)), []).append(record)
    if not include_first:
        epochs = {epoch: logged[1:] or logged for epoch, logged in epochs.items()}
    kept = [record for logged in epochs.values() for record in logged]
    mean = fmean(record['time'] for record in kept)
    return TrainTime(
        mean=mean,
        by_epoch={
            epoch: fmean(record['time'] for record in logged)
            for epoch, logged in epochs.items()
            if 'epoch' in logged[0]
        },
        data_share=fmean(record.get('data_time', 0.0) for record in kept) / mean,
        iterations=max(steps),
    )

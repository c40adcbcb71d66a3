"""Finished runs as rows of one table, which studies share."""

import csv
import fcntl
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from ..errors import UserError, printable
from .cells import Cell, Run, study_cells
from .observation import Observation
from .study import Study

__all__ = [
    'Row',
    'add_rows',
    'by_run',
    'is_stale',
    'observations',
    'read_rows',
    'rows_to_report',
    'study_rows',
]


@dataclass(frozen=True)
class Row:
    """What a finished run measured, and what it was.

    Args:
        trained: Digest of what was trained.
        evaluated: Digest of what was measured of it; the key of the row.
        code: Digest of the code that trained.
        config: The config.
        options: Words of ``--cfg-options``.
        environment: Variables that were set.
        seed: The seed.
        core_minutes: Processor time of training and evaluation, of all attempts.
        date: Day of the end.
        mmssl_prior: Version of this package; and those of others.
        torch: Version.
        mmengine: Version.
        mmpretrain: Version.
        device: What computed.
        metrics: Value by name; what has no finite value is not a number.
    """

    trained: str
    evaluated: str
    code: str
    config: str
    options: str
    environment: str
    seed: int
    core_minutes: float
    date: str
    mmssl_prior: str
    torch: str
    mmengine: str
    mmpretrain: str
    device: str
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[str, str, str]:
        """What was asked for, whatever the code was."""
        return self.config, self.options, self.environment


COLUMNS = tuple(column.name for column in fields(Row) if column.name != 'metrics')
NUMBERS = dict(seed=int, core_minutes=float)


def read_rows(path: str | Path) -> list[Row]:
    """The rows of a table; none where there is no file.

    Raises:
        UserError: If it is no such table.
    """
    path = Path(path)
    if not path.is_file():
        return []
    try:
        with path.open(encoding='utf-8', newline='') as file:
            reader = csv.DictReader(file, strict=True)
            lines = list(reader)
        names = reader.fieldnames or []
        missing = [column for column in COLUMNS if column not in names]
        if missing:
            raise ValueError(f'it has no column {missing[0]}')
        return [_row(line) for line in lines]
    except (ValueError, TypeError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f'{printable(path)} is no table of runs: {error}') from error


def _row(line: Mapping[str, str]) -> Row:
    said = {name: NUMBERS.get(name, str)(line[name]) for name in COLUMNS}
    metrics = {n: float(text) for n, text in line.items() if n not in COLUMNS and text}
    return Row(**said, metrics=metrics)


def add_rows(path: str | Path, rows: Sequence[Row]) -> int:
    """Add rows to a table and to the JSON beside it, whole or not at all.

    A row whose key is there already is left out: the first one stays. Other
    processes may add to the same table at the same time.

    Args:
        path: Of the CSV; the JSON has the same name.
        rows: To be added.

    Returns:
        How many were added.

    Raises:
        UserError: If the file is no table of runs or cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.parent):
            there = read_rows(path)
            known = {row.evaluated for row in there}
            new = [row for row in rows if row.evaluated not in known]
            if new:
                _replace(path, _csv([*there, *new]))
                _replace(path.with_suffix('.json'), _json([*there, *new]))
            return len(new)
    except OSError as error:
        raise UserError(f'{printable(path)} cannot be written: {error.strerror}') from error


def _csv(rows: Sequence[Row]) -> str:
    metrics = sorted({name for row in rows for name in row.metrics})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow([*COLUMNS, *metrics])
    for row in rows:
        writer.writerow(
            [getattr(row, name) for name in COLUMNS]
            + [repr(row.metrics[name]) if name in row.metrics else '' for name in metrics]
        )
    return text.getvalue()


def _json(rows: Sequence[Row]) -> str:
    """A row a line."""
    lines = []
    for row in rows:
        metrics = {
            name: value if math.isfinite(value) else None
            for name, value in sorted(row.metrics.items())
        }
        lines.append(json.dumps(asdict(row) | dict(metrics=metrics)))
    return '[\n' + ',\n'.join(lines) + '\n]\n'


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    # The folder, not the file: that is replaced.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f'.{path.name}.part')
    with part.open('w', encoding='utf-8', newline='') as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def by_run(rows: Sequence[Row]) -> dict[str, Row]:
    """Rows by their key."""
    return {row.evaluated: row for row in rows}


def is_stale(row: Row, run: Run) -> bool:
    """Whether a row is of the same request, but of other code, config or evaluation."""
    same = row.identity == (run.name, run.options, run.variables)
    return same and row.evaluated != run.evaluated


def observations(cells: Sequence[Cell], found: Mapping[str, Row]) -> list[Observation]:
    """The finished cells.

    Args:
        cells: Of a study.
        found: Row by the key of the run, of :func:`by_run` or :func:`rows_to_report`.
    """
    return [
        Observation(cell.factors, cell.run.seed, dict(found[cell.run.evaluated].metrics))
        for cell in cells
        if cell.run.evaluated in found
    ]


def rows_to_report(cells: Sequence[Cell], rows: Sequence[Row]) -> dict[str, Row]:
    """What a page shows: current rows, and of a config without any, the last of earlier code.

    Rows of one config are never mixed: a single current one leaves all earlier
    ones aside, and of these only those count whose code is that of the last.

    Args:
        cells: Of a study.
        rows: Of the table.

    Returns:
        Row by the key of the run.
    """
    current = by_run(rows)
    runs = {cell.run.evaluated: cell.run for cell in cells}
    fresh = {run.name for key, run in runs.items() if key in current}
    asked = {(run.name, run.options, run.variables) for run in runs.values()}
    earlier = [row for row in rows if row.identity in asked and row.config not in fresh]
    code = {row.config: row.code for row in earlier}
    last = {row.identity: row for row in earlier if row.code == code[row.config]}
    found = {}
    for key, run in runs.items():
        row = current.get(key) or last.get((run.name, run.options, run.variables))
        if row is not None:
            found[key] = row
    return found


def study_rows(study: Study, rows: Sequence[Row]) -> list[Observation]:
    """What has been measured for a study, as (factors, seed, metrics): current rows alone."""
    return observations(study_cells(study), by_run(rows))

"""Observations as a tidy table: one row a run, in CSV and JSON, and back."""

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError, printable
from .observation import Observation

__all__ = ['read_tidy', 'write_tidy']

SEED = 'seed'


def write_tidy(folder: str | Path, observations: Sequence[Observation]) -> list[Path]:
    """Write ``tidy.csv`` and ``tidy.json``: a column for each factor, the seed, then each metric.

    Rows and metrics are sorted, so that equal observations give equal bytes.
    A metric that a run lacks is an empty field of the CSV and no key of the
    JSON; one without a finite value is ``nan`` or ``inf`` there and null here.

    Args:
        folder: Is made if it is not there.
        observations: Of one study.

    Returns:
        The paths of both files.

    Raises:
        UserError: If the observations differ in their factors.
    """
    folder = Path(folder)
    factors = list(observations[0].factors) if observations else []
    for one in observations:
        if set(one.factors) != set(factors):
            raise UserError(
                f'observations of one table need the same factors: {sorted(one.factors)} '
                f'beside {sorted(factors)}'
            )
    metrics = sorted({name for one in observations for name in one.metrics})
    rows = sorted(observations, key=lambda one: ([one.factors[f] for f in factors], one.seed))
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / 'tidy.csv', folder / 'tidy.json']
    with paths[0].open('w', encoding='utf-8', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow([*factors, SEED, *metrics])
        for one in rows:
            values = (repr(float(one.metrics[m])) if m in one.metrics else '' for m in metrics)
            writer.writerow([*(one.factors[f] for f in factors), one.seed, *values])
    records = [
        {f: one.factors[f] for f in factors}
        | {SEED: one.seed}
        | {m: _finite(one.metrics[m]) for m in metrics if m in one.metrics}
        for one in rows
    ]
    paths[1].write_text(json.dumps(records, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
    return paths


def read_tidy(path: str | Path) -> list[Observation]:
    """The observations of a ``tidy.csv``: columns before ``seed`` are factors, others metrics.

    Raises:
        UserError: If it is no such file.
    """
    try:
        with Path(path).open(encoding='utf-8', newline='') as file:
            head, *rows = list(csv.reader(file))
        place = head.index(SEED)
        return [
            Observation(
                dict(zip(head[:place], row)),
                int(row[place]),
                {m: float(value) for m, value in zip(head[place + 1 :], row[place + 1 :]) if value},
            )
            for row in rows
        ]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'{printable(path)} cannot be read: {error}') from error
    except (ValueError, IndexError) as error:
        raise UserError(
            f'{printable(path)} is no table of a study ({error}): its columns are factors, seed, '
            'metrics'
        ) from error


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None

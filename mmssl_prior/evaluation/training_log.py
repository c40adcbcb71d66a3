"""The scalars that a training run logged, across resumes."""

import json
from pathlib import Path

from ..errors import UserError

__all__ = ['read_training_log']


def read_training_log(work_dir: str | Path) -> dict[str, tuple[list[int], list[float]]]:
    """Read what MMEngine's ``LocalVisBackend`` wrote, one curve for each scalar.

    A resumed run writes into a new folder; where two runs logged the same
    step, the later one counts, and steps after its start are the later run's
    alone, as the weights are.

    Args:
        work_dir: Folder with ``<timestamp>/vis_data/scalars.json``.

    Returns:
        For each name steps in increasing order (iterations for what training
        logs, epochs for what validation logs in epoch-based runs) and values.

    Raises:
        UserError: If there is no log, or a line of it is not JSON.
    """
    files = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    curves: dict[str, dict[int, float]] = {}
    for file in files:
        fresh: set[str] = set()
        lines = file.read_text().splitlines()
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                if number == len(lines):
                    # An interrupted run leaves half a line at the end.
                    break
                raise UserError(f'{file}:{number}: not a line of JSON') from None
            if 'step' not in record:
                continue
            step = int(record.pop('step'))
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
        raise UserError(
            f'{work_dir}: no */vis_data/scalars.json with logged values; was training '
            'run there, with a LocalVisBackend?'
        )
    return {
        name: (sorted(curve), [curve[step] for step in sorted(curve)])
        for name, curve in curves.items()
    }

"""Results of finished tasks on the disk, and what tells whether they still hold."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine import dist

from ..errors import UserError
from ..version import __version__
from .encoder_source import EncoderSource
from .one_task import PROTOCOLS, Evaluation
from .report import FORMAT
from .task_data import data_digest
from .tasks import Task

__all__ = ['RESULTS', 'DataDigests', 'finished', 'of_first_rank', 'probe_failure', 'result_key']

RESULTS = 'results.json'


class DataDigests:
    """Digests of the tasks' data, each read when it is first asked for.

    Args:
        settings: Where the data are.
    """

    def __init__(self, settings: Evaluation) -> None:
        self.settings = settings
        self._known: dict[str, str | None] = {}

    def __call__(self, task: Task) -> str | None:
        """Digest of the data as they are now; None if they cannot be read."""
        if task.name not in self._known:
            try:
                self._known[task.name] = data_digest(task, self.settings.root(task))
            except UserError:
                # Said when the task runs.
                self._known[task.name] = None
        return self._known[task.name]


def result_key(source: EncoderSource, task: Task, settings: Evaluation) -> str:
    """What the result of a task depends on, but for its data."""
    cfg = source.cfg.to_dict() if source.cfg is not None else dict(model=source.timm)
    protocol = PROTOCOLS[settings.protocol]
    facts = dict(
        format=FORMAT,
        version=__version__,
        weights=source.digest,
        # What shots are counted in is part of the result, too.
        config=[str(cfg.get(k)) for k in ('model', 'data_preprocessor', 'train_dataloader')],
        task=asdict(task),
        root=str(Path(settings.root(task)).resolve()) if task.folder else '',
        protocol=[settings.protocol, *protocol],
        scores=asdict(settings.scores),
        probe=[settings.probe_features, settings.lr_multipliers],
        lists=[
            hashlib.sha256(Path(path).read_bytes()).hexdigest()
            for path in settings.lists.get(task.name, ())
        ],
        image_size=settings.image_size,
        # Batches of a probe that is trained by its config are those of all ranks together.
        ranks=dist.get_world_size() if protocol.by_config else 1,
    )
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def finished(
    folder: Path,
    key: str,
    task: Task,
    digests: DataDigests,
    said: Callable[[str], None] = lambda _: None,
) -> dict[str, Any] | None:
    """The result of an earlier run, the same on every rank; None if there is none that holds.

    Args:
        folder: Of the task.
        key: Of :func:`result_key`.
        task: Whose data are compared with those that were scored.
        digests: Of the data as they are now.
        said: Is told that the data have changed.
    """
    entry = None
    if dist.is_main_process() and (folder / RESULTS).is_file():
        try:
            content = json.loads((folder / RESULTS).read_text(encoding='utf-8'))
            if content['key'] == key and probe_failure(content) is None:
                if content['data'] == digests(task):
                    entry = content
                else:
                    said(f'{task.title}: other images or labels than before; it is scored again')
        except (ValueError, KeyError, TypeError, AttributeError):
            entry = None  # Not a file of ours, or cut short by hand: computed again.
    return of_first_rank(entry)


def probe_failure(entry: Mapping[str, Any]) -> str | None:
    """Why a task that has its other scores has no linear probe."""
    return (entry['scores'].get('linear') or {}).get('failed')


def of_first_rank(value: Any) -> Any:
    """The first rank's value, on all."""
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]

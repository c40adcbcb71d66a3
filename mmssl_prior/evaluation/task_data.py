"""Both splits of a task: built, looked over, and told from what they were before."""

import hashlib
from typing import Any, NamedTuple

from ..errors import UserError, printable
from .identity import dataset_digest, listed
from .tasks import Task, build_dataset

__all__ = ['TaskData', 'data_digest', 'read_task']

SPLITS = ('train', 'test')


class TaskData(NamedTuple):
    """The datasets of a task, by split.

    Attributes:
        datasets: Of MMEngine.
        paths: Of their images, or None for images in memory.
        digest: Of both lists, paths and labels: another once a download has
            grown, under the same root.
    """

    datasets: dict[str, Any]
    paths: dict[str, list[str] | None]
    digest: str


def read_task(task: Task, root: str, steps: list[dict]) -> TaskData:
    """Read the annotations of both splits.

    Args:
        task: The task.
        root: Folder of its data.
        steps: Transforms.

    Raises:
        UserError: If the data are missing or malformed, or an image is in
            both splits.
    """
    datasets = {split: build_dataset(task, split, root, steps) for split in SPLITS}
    paths = {split: _paths(dataset) for split, dataset in datasets.items()}
    shared = sorted(set(paths['train'] or ()) & set(paths['test'] or ()))
    if shared:
        raise UserError(
            f'{task.title}: {len(shared)} images are in both splits, the first: '
            f'{printable(shared[0])}; tools/check_dataset.py {task.name} names more'
        )
    return TaskData(datasets, paths, _digest(datasets))


def data_digest(task: Task, root: str) -> str:
    """:attr:`TaskData.digest` by itself."""
    return _digest({split: build_dataset(task, split, root) for split in SPLITS})


def _digest(datasets: dict[str, Any]) -> str:
    parts = ''.join(dataset_digest(dataset) for dataset in datasets.values())
    return hashlib.sha256(parts.encode()).hexdigest()


def _paths(dataset: Any) -> list[str] | None:
    paths: list[str] = []
    for info in listed(dataset):
        if info.get('img_path') is None:
            return None
        paths.append(info['img_path'])
    return paths

"""What is missing or malformed in a raw download, and where."""

import os.path as osp
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..datasets import UndecodableImage
from ..datasets.labels import dataset_labels
from ..datasets.transforms import LoadImage
from ..errors import UserError, printable
from .tasks import Task, build_dataset

__all__ = ['DatasetCheck', 'check_dataset']

NAMED = 5


@dataclass
class DatasetCheck:
    """Lines for the user: what was found, what is worth knowing, what has to be mended."""

    found: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def check_dataset(task: Task, root: str, decode: bool = False) -> DatasetCheck:
    """Look at both splits of a task's raw download.

    Every annotation is parsed, every listed image looked for, classes are
    counted, sizes compared with those of the full data, and images looked for
    that both splits hold: the same file, or one of the same name and label.
    What is wrong in one split does not keep the other from being looked at.

    Args:
        task: The task.
        root: Folder of the data.
        decode: Whether every image is read too, which takes as long as an
            epoch of training.
    """
    report = DatasetCheck()
    missing = task.missing(root)
    if missing:
        report.problems.append(f'{printable(osp.abspath(missing))} does not exist')
    seen: dict[str, set] = {}
    for place, split in enumerate(('train', 'test')):
        try:
            dataset = build_dataset(task, split, root)
            labels = dataset_labels(dataset)
        except UserError as error:
            if not missing or str(osp.abspath(missing)) not in str(error):
                report.problems.append(f'{split} split: {error}')
            continue
        paths = [dataset.get_data_info(i).get('img_path') for i in range(len(dataset))]
        _check_counts(report, task, split, labels, place)
        if paths and paths[0] is not None:
            _check_files(report, split, paths, decode)
            seen[split] = {(int(y), osp.basename(path)) for y, path in zip(labels, paths)}
    if len(seen) == 2:
        shared = sorted(seen['train'] & seen['test'])
        if shared:
            report.problems.append(
                f'the splits overlap: {len(shared)} images of the same name and label are in both: '
                f'{_examples(f"{name} (label {label})" for label, name in shared)}'
            )
    return report


def _check_counts(
    report: DatasetCheck, task: Task, split: str, labels: np.ndarray, place: int
) -> None:
    sizes = np.bincount(labels, minlength=task.classes)
    absent = np.flatnonzero(sizes == 0)
    present = sizes[sizes > 0]
    report.found.append(
        f'{split} split: {len(labels)} images of {len(present)} of {task.classes} classes; images '
        f'per class from {present.min()} to {present.max()}, median {np.median(present):g}'
    )
    if len(absent):
        report.notes.append(
            f'{split} split: {len(absent)} classes have no image: {_examples(map(str, absent))}'
        )
    if task.sizes and len(labels) != task.sizes[place]:
        report.notes.append(
            f'{split} split: {len(labels)} images, the full data have {task.sizes[place]}'
        )


def _check_files(report: DatasetCheck, split: str, paths: list[str], decode: bool) -> None:
    absent = [path for path in paths if not osp.isfile(path)]
    if absent:
        report.problems.append(
            f'{split} split: {len(absent)} of {len(paths)} listed images do not exist: '
            f'{_examples(map(printable, absent))}'
        )
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        report.problems.append(
            f'{split} split: {len(twice)} images are listed more than once: '
            f'{_examples(map(printable, twice))}'
        )
    if decode:
        gone = set(absent)
        reasons = [r for r in (_reason(path) for path in paths if path not in gone) if r]
        if reasons:
            report.problems.append(
                f'{split} split: {len(reasons)} images cannot be decoded: {_examples(reasons)}'
            )
        else:
            report.found.append(f'{split} split: every image that exists can be decoded')


def _reason(path: str) -> str:
    try:
        LoadImage().transform(dict(img_path=path))
    except UndecodableImage as error:
        return f'{printable(path)} ({error.reason})'
    return ''


def _examples(items: Iterable[Any]) -> str:
    everything = [str(item) for item in items]
    return ', '.join(everything[:NAMED]) + (', ...' if len(everything) > NAMED else '')

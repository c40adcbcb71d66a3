"""Features of a task's images, from the disk or from the encoder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..datasets.labels import dataset_labels
from ..errors import UserError, printable
from .encoder import Encoder
from .feature_store import FeatureStore
from .features import Features
from .low_shot import PublishedLists, read_subsets
from .task_data import TaskData
from .task_scores import TaskFeatures

__all__ = ['OWN', 'Extraction', 'among', 'published_lists', 'task_features']

OWN = 'features'  # the encoder's own, among the names


class Extraction(NamedTuple):
    """Features of images, whatever their labels: tasks on the same images share them.

    Attributes:
        encoder: On its device.
        title: Of the task.
        folder: Of the stored features.
        more: Names of further features of the backbone.
        batch_size: Images that pass the encoder together, on each rank.
        workers: Processes that load images, on each rank.
    """

    encoder: Encoder
    title: str
    folder: Path
    more: tuple[str, ...] = ()
    batch_size: int = 64
    workers: int = 4

    def of(self, dataset: Any, name: str, complete: bool) -> dict[str, Features]:
        """Features by name, from the disk if they are there.

        Args:
            dataset: Of MMEngine, with a deterministic pipeline.
            name: What the log calls it.
            complete: Whether an image that cannot be decoded is an error.

        Raises:
            UserError: As :meth:`FeatureStore.open_or_extract`, or for such an image.
        """
        store = FeatureStore.open_or_extract(
            self.folder,
            self.encoder,
            dataset,
            [OWN, *self.more],
            forward=self._forward,
            dtype='float32',
            batch_size=self.batch_size,
            num_workers=self.workers,
            name=f'{self.title}, {name}',
            labels=False,
        )
        skipped = store.manifest['skipped']
        if skipped and complete:
            position, reason = skipped[0]
            raise UserError(
                f'{self.title}: {len(skipped)} images of the {name} cannot be decoded; the '
                f'first: {printable(dataset.get_data_info(position).get("img_path"))} ({reason}); '
                'an evaluation skips no image: restore the files'
            )
        return store.all()

    def _forward(self, images: Tensor) -> dict[str, Tensor]:
        own = {OWN: self.encoder(images)}
        return own | self.encoder.more(images, self.more) if self.more else own


def task_features(stores: Mapping[str, Mapping[str, Features]], data: TaskData) -> TaskFeatures:
    """Features with the task's own labels, of the images that have features."""
    labels = {
        split: torch.from_numpy(dataset_labels(dataset))[stores[split][OWN].sample_idx]
        for split, dataset in data.datasets.items()
    }
    train, test = (
        {name: part.features for name, part in stores[split].items()} for split in labels
    )
    more = {name: (rows, test[name]) for name, rows in train.items() if name != OWN}
    return TaskFeatures(train[OWN], labels['train'], test[OWN], labels['test'], more)


def published_lists(files: Sequence[str], title: str, data: TaskData) -> PublishedLists:
    """Published low-shot lists as positions in the training split.

    Args:
        files: The lists.
        title: Of the task.
        data: Of the task.

    Raises:
        UserError: As :func:`~.low_shot.read_subsets`, or if images have no names.
    """
    names = data.paths['train']
    if not files:
        return {}
    if names is None:
        raise UserError(f'{title}: its images have no names; a list cannot name them')
    return read_subsets(files, names, dataset_labels(data.datasets['train']))


def among(lists: PublishedLists, data: TaskData, kept: Features) -> PublishedLists:
    """The same lists as positions among the images that have features.

    Raises:
        UserError: If a listed image has none.
    """
    names = data.paths['train'] or []
    places = np.full(len(names), -1)
    places[kept.sample_idx.numpy()] = np.arange(len(kept.sample_idx))
    for file, positions in (item for of_kind in lists.values() for item in of_kind.items()):
        gone = positions[places[positions] < 0]
        if len(gone):
            raise UserError(
                f'subset {printable(file)}: {printable(names[gone[0]])} cannot be decoded: restore '
                'the file'
            )
    return {
        kind: {file: places[positions] for file, positions in of_kind.items()}
        for kind, of_kind in lists.items()
    }

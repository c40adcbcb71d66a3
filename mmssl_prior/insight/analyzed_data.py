"""The images of a report: from a config or a folder, with or without labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmpretrain.registry import DATASETS

from ..datasets.labels import dataset_labels
from ..errors import UserError, printable
from .image_source import SPLITS, folder_or_config

__all__ = ['SPLITS', 'AnalyzedData', 'encoder_steps', 'open_data']

CROP_SHARE = 0.875


class AnalyzedData:
    """A list of images without a pipeline, which each encoder brings its own of.

    Args:
        title: What to call the data.
        dataset_cfg: Config of the dataset, without a pipeline.
        images: Look at a random sample of so many, in their order; None for all.
        seed: Of the sample.

    Attributes:
        labels: Class of each image, int64 (N,), or None.
        classes: Names of the classes, or None.
    """

    def __init__(
        self, title: str, dataset_cfg: Mapping[str, Any], images: int | None = None, seed: int = 0
    ) -> None:
        self.title, self.dataset_cfg = title, dict(dataset_cfg)
        self.kept: list[int] | None = None
        self.dataset = self._build([])
        self.total = len(self.dataset)
        if not self.total:
            raise UserError(f'{title}: there are no images')
        if images is not None and images < self.total:
            generator = torch.Generator().manual_seed(seed)
            drawn = torch.randperm(self.total, generator=generator)[:images]
            self.kept = drawn.sort().values.tolist()
            self.dataset = self._build([])
        self.labels = _labels(self.dataset)
        names = self.dataset.metainfo.get('classes') if self.labels is not None else None
        self.classes = [str(name) for name in names] if names else None
        if self.labels is not None and self.classes is None:
            self.classes = [f'class {label}' for label in range(int(self.labels.max()) + 1)]

    def _build(self, steps: Sequence[dict]) -> Any:
        dataset = DATASETS.build(dict(self.dataset_cfg, pipeline=list(steps), test_mode=True))
        dataset.full_init()
        if self.kept is not None:
            dataset.get_subset_(self.kept)
        return dataset

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def in_memory(self) -> bool:
        """Whether images come as arrays, not as files."""
        return 'img' in self.dataset.get_data_info(0)

    def counts(self) -> np.ndarray | None:
        """Images of each class, or None without labels."""
        if self.labels is None:
            return None
        assert self.classes is not None
        return np.bincount(self.labels, minlength=len(self.classes))

    def name(self, index: int) -> str:
        """What to call an image: its path below the data's folder, or its number."""
        path = self.dataset.get_data_info(index).get('img_path')
        if not path:
            return f'image {self.kept[index] if self.kept else index}'
        root = str(getattr(self.dataset, 'img_prefix', '') or '')
        below = str(path).removeprefix(root).lstrip('/') if root else Path(path).name
        return printable(below)

    def with_steps(self, steps: Sequence[dict]) -> Any:
        """The dataset with a pipeline; images in memory are not loaded."""
        loads = str(steps[0]['type']).startswith('LoadImage') if steps else False
        first: list[dict] = [] if self.in_memory else [dict(type='LoadImage')]
        return self._build([*first, *(steps[1:] if loads else steps)])


def open_data(
    data: str,
    split: str = 'train',
    labelled: bool = False,
    images: int | None = None,
    seed: int = 0,
) -> AnalyzedData:
    """The images that a command line names.

    Args:
        data: A config file, of whose ``split`` they are, or a folder.
        split: 'train', 'val' or 'test', of a config.
        labelled: Whether the subfolders of the folder are classes.
        images: Look at a random sample of so many; None for all.
        seed: Of the sample.

    Raises:
        UserError: If there are no images, or the config has no such data or
            several datasets in one.
    """
    if images is not None and images < 1:
        raise UserError(f'the number of images must be at least 1, got {images}')
    folder = Path(data).expanduser()
    if labelled and not folder.is_dir():
        raise UserError(f'--labelled is for a folder, but --data {printable(data)} is none')
    dataset_cfg = folder_or_config(data, split, labelled, 'leave --labelled out')
    if dataset_cfg is None:
        raise UserError(f'--data {printable(data)} is neither a folder nor a config file')
    title = folder.resolve().name if folder.is_dir() else f'{folder.stem}, {split} split'
    return AnalyzedData(printable(title), dataset_cfg, images, seed)


def encoder_steps(cfg: Config | None, size: int) -> list[dict]:
    """The deterministic transforms that an encoder was evaluated with.

    Those of the test or validation data of its config, or ``test_pipeline``;
    else the shorter edge is resized to the size over 0.875 and the centre cut.

    Args:
        cfg: Config of the encoder's run, if there is one.
        size: Height and width that the encoder takes.

    Example:
        >>> [step['type'] for step in encoder_steps(None, 224)]
        ['ResizeEdge', 'CenterCrop', 'PackInputs']
    """
    values: Mapping[str, Any] = cfg.to_dict() if cfg is not None else {}
    for name in ('test_dataloader', 'val_dataloader'):
        dataset: Any = (values.get(name) or {}).get('dataset') or {}
        while 'pipeline' not in dataset and isinstance(dataset.get('dataset'), Mapping):
            dataset = dataset['dataset']
        if dataset.get('pipeline'):
            return list(dataset['pipeline'])
    if values.get('test_pipeline'):
        return list(values['test_pipeline'])
    look = dict(backend='pillow', interpolation='bicubic')
    return [
        dict(type='ResizeEdge', scale=round(size / CROP_SHARE), edge='short', **look),
        dict(type='CenterCrop', crop_size=size),
        dict(type='PackInputs'),
    ]


def _labels(dataset: Any) -> np.ndarray | None:
    try:
        return dataset_labels(dataset)
    except UserError:
        if 'gt_label' in dataset.get_data_info(0):
            raise
        return None

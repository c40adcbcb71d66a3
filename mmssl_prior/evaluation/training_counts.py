"""How many images of each of a task's classes an encoder was trained on."""

import copy
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmpretrain.registry import DATASETS
from torch import Tensor

from ..datasets.labels import dataset_labels
from .tasks import Task

__all__ = ['TrainingCounts', 'training_counts']

PRETRAINING, PROBE = 'pretraining', 'probe'
#: MMPretrain's classes of the same data, whose labels mean the same.
STOCK = {'ImageNet1K': 'ImageNet', 'CIFAR100Archive': 'CIFAR100', 'Places205CSV': 'Places205'}

#: Wrappers that show images again; a class has no more of them for that.
REPEATING = {'RepeatDataset', 'ClassBalancedDataset', 'SeededClassBalancedDataset'}


class TrainingCounts(NamedTuple):
    """Images of each class, and where they were counted.

    Attributes:
        counts: Shape (C,).
        source: 'pretraining', what the encoder was trained on, or 'probe', the
            split of the task that the probe learns from.
        reason: The same in words, with the reason where it is the latter.
    """

    counts: Tensor
    source: str
    reason: str


def training_counts(cfg: Config | None, task: Task, root: str, labels: Tensor) -> TrainingCounts:
    """Images of each class in the training data of a config, if these are the task's.

    The dataset may be MMPretrain's of the same data, and may be wrapped, as a
    long-tailed subset is; images that a wrapper repeats count once. Otherwise
    the task's training split is counted, and the reason said.

    Args:
        cfg: Config of the run; None for a model of timm.
        task: The task.
        root: Folder of the task's data, which takes the place of the config's.
        labels: Of the task's training split.
    """
    counts, reason = _pretraining(cfg, task, root)
    if counts is not None:
        return TrainingCounts(counts, PRETRAINING, reason)
    own = torch.bincount(labels, minlength=task.classes)
    return TrainingCounts(own, PROBE, f'the training split of {task.title}: {reason}')


def _pretraining(cfg: Config | None, task: Task, root: str) -> tuple[Tensor | None, str]:
    """Counts, or None and why there are none."""
    if cfg is None:
        return None, 'what a model of timm was trained on is not known'
    loader = cfg.to_dict().get('train_dataloader')
    dataset_cfg: Any = copy.deepcopy((loader or {}).get('dataset'))
    kinds = _kinds(dataset_cfg)
    if not kinds:
        return None, "the encoder's config names no training data"
    inner = _find(dataset_cfg, {task.dataset, STOCK.get(task.dataset, task.dataset)})
    named = ' of '.join(kinds)
    if inner is None:
        return None, f'the encoder was trained on other data ({named})'
    inner['pipeline'] = []
    if task.folder:
        inner['data_root'] = root
    if _bare(inner['type']) == 'CIFAR100':
        inner['download'] = False
    # Scenes were seen under one target, species perhaps as supercategories; the task's own counts
    # the same images.
    inner.pop('target', None)
    if 'target' in task.train:
        inner['target'] = task.train['target']
    while _bare(dataset_cfg['type']) in REPEATING:
        dataset_cfg = dataset_cfg['dataset']
    try:
        labels = dataset_labels(DATASETS.build(dataset_cfg))
    # Other people's classes, which raise what they like.
    except Exception as error:
        problem = str(error).split('\n')[0] or type(error).__name__
        return (
            None,
            f"the labels of the encoder's training data ({named}) cannot be read: {problem}",
        )
    if len(labels) and labels.max() >= task.classes:
        return None, f"the encoder's training data ({named}) have labels up to {labels.max()}"
    counts = torch.bincount(torch.from_numpy(labels), minlength=task.classes)
    return counts, f'what the encoder was trained on ({named})'


def _bare(kind: Any) -> str:
    """A class's name without the scope of its registry."""
    return str(kind).rpartition('.')[2]


def _kinds(node: Any) -> list[str]:
    """Types of a dataset and of what it wraps, from the outermost."""
    found = []
    while isinstance(node, dict) and 'type' in node:
        found.append(_bare(node['type']))
        node = node.get('dataset')
    return found


def _find(node: Any, kinds: set[str]) -> dict | None:
    """The config of a dataset class, by itself or in wrappers of one dataset."""
    while isinstance(node, dict):
        if _bare(node.get('type')) in kinds:
            return node
        node = node.get('dataset')
    return None

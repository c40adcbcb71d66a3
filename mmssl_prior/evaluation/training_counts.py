"""How many images of each of a task's classes an encoder was trained on."""

import copy
from typing import Any

import torch
from mmengine.config import Config
from mmpretrain.registry import DATASETS
from torch import Tensor

from ..datasets.labels import dataset_labels
from ..errors import UserError
from .tasks import Task

__all__ = ['training_counts']


def training_counts(cfg: Config | None, task: Task, root: str) -> Tensor | None:
    """Images of each class in the training data of a config, if these are the task's.

    Args:
        cfg: Config of the run.
        task: The task.
        root: Folder of the task's data, which takes the place of the config's.

    Returns:
        Counts of shape (C,), or None where the run saw other data or its
        labels cannot be read.
    """
    loader = cfg.to_dict().get('train_dataloader') if cfg is not None else None
    dataset_cfg = copy.deepcopy((loader or {}).get('dataset'))
    inner = _find(dataset_cfg, task.dataset)
    if inner is None:
        return None
    inner['pipeline'] = []
    if task.folder:
        inner['data_root'] = root
    if 'target' in task.train:
        # Scenes were seen under one target; another counts the same images.
        inner['target'] = task.train['target']
    try:
        labels = dataset_labels(DATASETS.build(dataset_cfg))
    except UserError:
        return None
    if len(labels) and labels.max() >= task.classes:
        return None
    return torch.bincount(torch.from_numpy(labels), minlength=task.classes)


def _find(node: Any, kind: str) -> dict | None:
    """The config of a dataset class, by itself or in wrappers of one dataset."""
    while isinstance(node, dict):
        if node.get('type') == kind:
            return node
        node = node.get('dataset')
    return None

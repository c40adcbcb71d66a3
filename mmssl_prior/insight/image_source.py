"""What a user names as data: a folder, a config or a dataset of the registry."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmpretrain.registry import DATASETS

from ..config import load_config
from ..datasets.folder_scan import IMAGE_EXTENSIONS, scan_folder
from ..errors import UserError, printable

__all__ = [
    'SPLITS',
    'dataset_of_split',
    'folder_or_config',
    'named_dataset',
    'steps_for',
    'subsample',
]

SPLITS = ('train', 'val', 'test')
CONFIGS = ('.py', '.json', '.yaml', '.yml')


def named_dataset(
    spec: str, arguments: Mapping[str, Any], labelled: bool, steps: Sequence[dict] = ()
) -> Any:
    """Build a dataset.

    Args:
        spec: A folder of images; a config, whose training data count; or the
            name of a dataset class.
        arguments: Override those of the dataset.
        labelled: Whether subfolders of a folder are classes.
        steps: Pipeline.

    Raises:
        UserError: If there is no such thing, or it cannot be built.
    """
    remedy = 'tools/suggest_prior.py images takes it as it is'
    cfg = folder_or_config(spec, 'train', labelled, remedy)
    if cfg is None and DATASETS.get(spec) is not None:
        cfg = dict(type=spec)
    if cfg is None:
        raise UserError(
            f'{printable(spec)}: neither a folder, a config (.py) nor the name of a dataset class'
        )
    cfg = {**cfg, **arguments, 'pipeline': list(steps)}
    kind = DATASETS.get(cfg['type']) if isinstance(cfg['type'], str) else cfg['type']
    _check_names(kind, arguments)
    return DATASETS.build(cfg)


def folder_or_config(spec: str, split: str, labelled: bool, remedy: str) -> dict[str, Any] | None:
    """The dataset of a folder or of a config; None for anything else.

    Args:
        spec: Of the command line.
        split: 'train', 'val' or 'test', of a config.
        labelled: Whether subfolders of a folder are classes.
        remedy: What to do with a folder that should have some and has none.

    Raises:
        UserError: If the config has no such data or joins several datasets,
            or the folder has no subfolders with images.
    """
    path = Path(spec).expanduser()
    if path.is_dir():
        if labelled:
            return _labelled_folder(path, remedy)
        return dict(type='ImageFolder', data_root=str(path))
    if path.suffix in CONFIGS or '::' in spec:
        return dataset_of_split(load_config(spec), split)
    return None


def _labelled_folder(folder: Path, remedy: str) -> dict[str, Any]:
    classes = [
        entry for entry in sorted(folder.iterdir()) if entry.is_dir() and entry.name[0] != '.'
    ]
    if not classes:
        raise UserError(f'{printable(folder)} has no subfolders that could be classes: {remedy}')
    if not any(scan_folder(str(entry)).images for entry in classes):
        raise UserError(
            f'{printable(folder)}: no image in its {len(classes)} subfolders (looked for '
            f'{", ".join(IMAGE_EXTENSIONS)})'
        )
    return dict(
        type='CustomDataset', data_root=str(folder), with_label=True, extensions=IMAGE_EXTENSIONS
    )


def _check_names(kind: Any, arguments: Mapping[str, Any]) -> None:
    """A wrong name would vanish in the keyword arguments of a base class."""
    known: set[str] = set()
    for base in inspect.getmro(kind):
        if '__init__' in vars(base):
            known |= set(inspect.signature(vars(base)['__init__']).parameters)
    for name in arguments:
        if name not in known:
            raise UserError(f'{kind.__name__} has no argument {name!r}')


def dataset_of_split(cfg: Config, split: str) -> dict[str, Any]:
    """The dataset of a split in a config, without wrappers and pipeline.

    Args:
        cfg: The config.
        split: 'train', 'val' or 'test'.

    Raises:
        UserError: If the config has no such data or joins several datasets.
    """
    node: Any = (cfg.to_dict().get(f'{split}_dataloader') or {}).get('dataset')
    if not isinstance(node, Mapping):
        raise UserError(
            f'{cfg.filename}: no {split}_dataloader.dataset to look at; give another config, or '
            f'another split of {", ".join(SPLITS)}'
        )
    # Wrappers repeat or weight images; each is looked at once.
    while 'dataset' in node or 'datasets' in node:
        inner = [node['dataset']] if 'dataset' in node else list(node['datasets'])
        if len(inner) != 1:
            raise UserError(
                f'{cfg.filename}: {split}_dataloader.dataset joins {len(inner)} datasets; give a '
                'config or folder of one'
            )
        node = inner[0]
    return {key: value for key, value in node.items() if key != 'pipeline'}


def steps_for(dataset: Any, size: int) -> list[dict]:
    """The deterministic transforms to a square of ``size`` pixels.

    Args:
        dataset: Its samples name files, or hold the images.
        size: Height and width.
    """
    in_memory = 'img' in dataset.get_data_info(0)
    look = dict(backend='pillow', interpolation='bicubic')
    return [
        *([] if in_memory else [dict(type='LoadImage')]),
        dict(type='ResizeEdge', scale=size, edge='short', **look),
        dict(type='CenterCrop', crop_size=size),
        dict(type='PackInputs'),
    ]


def subsample(dataset: Any, most: int, seed: int = 0) -> Any:
    """The dataset, or a random part of it in its own order.

    Args:
        dataset: Of MMEngine.
        most: Number of images to keep at most.
        seed: Of the choice.
    """
    if len(dataset) <= most:
        return dataset
    chosen = np.random.default_rng(seed).choice(len(dataset), most, replace=False)
    return dataset.get_subset(np.sort(chosen).tolist())

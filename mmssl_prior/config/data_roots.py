"""Data that is not where the config says, found before the Runner is built.

The Runner logs the whole config first, and the line that matters would follow
hundreds that do not.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, Registry

from mmssl_prior.errors import UserError

__all__ = ['check_data_roots']

# What a run with validation reads.
READ = ('train_dataloader', 'val_dataloader', 'val_cfg')


def _missing(node: Mapping) -> bool:
    """Whether the data folder, or the annotation file that the config names in it, is not there."""
    root, file = node.get('data_root'), node.get('ann_file')
    if not isinstance(root, str) or not root or '://' in root:
        return False
    folder = Path(root).expanduser()
    return not folder.exists() or bool(
        isinstance(file, str) and file and not (folder / file).exists()
    )


def _datasets(value: Any, path: str) -> Iterator[tuple[str, Mapping]]:
    """Every dict with a type and a data root below a value, with its path."""
    if isinstance(value, Mapping):
        if 'type' in value and 'data_root' in value:
            yield path, value
        for key, item in value.items():
            yield from _datasets(item, f'{path}.{key}')
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _datasets(item, f'{path}.{index}')


def _makes_its_root(cls: type, node: Mapping) -> bool:
    """A dataset that downloads, once for all ranks, must be left to the Runner."""
    parameter = inspect.signature(cls).parameters.get('download')
    return parameter is not None and bool(node.get('download', parameter.default))


def check_data_roots(cfg: Config, read: Sequence[str] = READ) -> None:
    """Builds each dataset whose folder or annotation file is missing, for the error it raises.

    Only the class knows whether it can do without, and how to get the files.
    Where nothing is missing nothing is built.

    Args:
        cfg: A config.
        read: The top-level keys whose datasets will be read.

    Raises:
        UserError: As the dataset itself; a ``FileNotFoundError`` of a stock
            class, with the path in the config before it.
    """
    tree = cfg.to_dict()
    # The Runner's own registry, seen from the scope that it would set.
    with DATASETS.switch_scope_and_registry(cfg.get('default_scope')) as registry:
        for name in read:
            for path, node in _datasets(tree.get(name), name):
                cls = registry.get(node['type']) if isinstance(node['type'], str) else node['type']
                if inspect.isclass(cls) and _missing(node) and not _makes_its_root(cls, node):
                    _build(registry, path, node)


def _build(registry: Registry, path: str, node: Mapping) -> None:
    try:
        dataset = registry.build(dict(node))
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
    except FileNotFoundError as error:
        raise UserError(
            f'{path}: {error}; its data_root is {node["data_root"]!r}: '
            f'--cfg-options {path}.data_root=PATH'
        ) from error

"""Classes of the data against those of a classifier, before it is trained."""

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmssl_prior.errors import UserError, printable

__all__ = ['check_classes', 'check_tested_classes']

SHOWN = 3


def check_classes(runner: Runner) -> None:
    """Checks that a label means the same class in training and validation, and fits the head.

    A ``CustomDataset`` numbers the class folders that it finds: where a
    folder is missing, all labels after it mean the class before. Models whose
    head has no ``num_classes`` and data without names of classes are passed
    over. A head of more classes than the data have is only warned of.

    Args:
        runner: The Runner, before training; its dataloaders are built.

    Raises:
        UserError: If the classes of training and validation differ, or are
            more than the head has.
    """
    outputs, key = _outputs(runner)
    if outputs is None:
        return
    loop: Any = runner.train_loop
    classes = _classes(loop.dataloader.dataset)
    if runner.val_loop is not None:
        val = _classes(runner.val_loop.dataloader.dataset)
        _check_equal('train_dataloader', classes, 'val_dataloader', val)
    _check_fit('train_dataloader', classes, outputs, key)


def check_tested_classes(runner: Runner, split: str, meta: Mapping[str, Any] | None = None) -> None:
    """Checks that a label means what it meant in training, and fits the head, before a test.

    Args:
        runner: The Runner, before its test; the dataloader is built.
        split: 'test' or 'val', of the loop that will run.
        meta: Of the checkpoint, whose ``dataset_meta`` names the classes of
            its training, as the Runner writes it.

    Raises:
        UserError: As :func:`check_classes`, with the classes of the checkpoint
            in place of those of training.
    """
    outputs, key = _outputs(runner)
    if outputs is None:
        return
    loop: Any = runner.test_loop if split == 'test' else runner.val_loop
    classes, where = _classes(loop.dataloader.dataset), f'{split}_dataloader'
    trained = list(map(str, ((meta or {}).get('dataset_meta') or {}).get('classes') or ()))
    _check_equal('the training of the checkpoint', trained, where, classes)
    _check_fit(where, classes, outputs, key)


def _outputs(runner: Runner) -> tuple[int | None, str]:
    """Number of classes that a classifier tells apart, and its key in the config."""
    model: Any = runner.model.module if is_model_wrapper(runner.model) else runner.model
    for owner, key in ((getattr(model, 'head', None), 'model.head'), (model, 'model')):
        outputs = getattr(owner, 'num_classes', None)
        if isinstance(outputs, int):
            return outputs, f'{key}.num_classes'
    return None, ''


def _classes(dataset: Any) -> list[str]:
    return list(map(str, (getattr(dataset, 'metainfo', None) or {}).get('classes') or ()))


def _check_fit(where: str, classes: list[str], outputs: int, key: str) -> None:
    if not classes or len(classes) == outputs:
        return
    line = (
        f'{where} has {len(classes)} classes ({_named(classes)}), the head '
        f'{outputs}: set {key}={len(classes)}'
        ' (NUM_CLASSES, where the config has it)'
    )
    if len(classes) > outputs:
        raise UserError(line)
    print_log(line, logger='current', level=logging.WARNING)


def _check_equal(first: str, train: list[str], second: str, val: list[str]) -> None:
    if not train or not val or train == val:
        return
    differing = [
        f'{_named(extra)} only in {where}'
        for where, extra in (
            (first, [name for name in train if name not in val]),
            (second, [name for name in val if name not in train]),
        )
        if extra
    ]
    raise UserError(
        f'{first} has {len(train)} classes, {second} {len(val)}, and a label would '
        f'mean another class in each: {"; ".join(differing) or "their order differs"}: give both '
        f'the same class folders (one without images is allowed in {second.split("_")[0]})'
    )


def _named(classes: list[str]) -> str:
    return ', '.join(map(printable, classes[:SHOWN])) + (', ...' if len(classes) > SHOWN else '')

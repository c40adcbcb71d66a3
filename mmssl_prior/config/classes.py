"""Classes of the data against those of a classifier, before it is trained."""

import logging
from typing import Any

from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmssl_prior.errors import UserError, printable

__all__ = ['check_classes']

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
    model: Any = runner.model.module if is_model_wrapper(runner.model) else runner.model
    outputs = getattr(getattr(model, 'head', None), 'num_classes', None)
    if not isinstance(outputs, int):
        return
    loop: Any = runner.train_loop
    classes = _classes(loop.dataloader.dataset)
    if runner.val_loop is not None:
        _check_equal(classes, _classes(runner.val_loop.dataloader.dataset))
    if not classes or len(classes) == outputs:
        return
    line = (
        f'train_dataloader has {len(classes)} classes ({_named(classes)}), the head '
        f'{outputs}: set model.head.num_classes={len(classes)}'
        ' (NUM_CLASSES, where the config has it)'
    )
    if len(classes) > outputs:
        raise UserError(line)
    print_log(line, logger='current', level=logging.WARNING)


def _classes(dataset: Any) -> list[str]:
    return list(map(str, (getattr(dataset, 'metainfo', None) or {}).get('classes') or ()))


def _check_equal(train: list[str], val: list[str]) -> None:
    if not train or not val or train == val:
        return
    differing = [
        f'{_named(extra)} only in {where}'
        for where, extra in (
            ('train_dataloader', [name for name in train if name not in val]),
            ('val_dataloader', [name for name in val if name not in train]),
        )
        if extra
    ]
    raise UserError(
        f'train_dataloader has {len(train)} classes, val_dataloader {len(val)}, and a label would '
        f'mean another class in each: {"; ".join(differing) or "their order differs"}: give both '
        'the same class folders (one without images is allowed in val)'
    )


def _named(classes: list[str]) -> str:
    return ', '.join(map(printable, classes[:SHOWN])) + (', ...' if len(classes) > SHOWN else '')

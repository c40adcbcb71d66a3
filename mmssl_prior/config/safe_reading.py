"""Reading files of others with torch's unpickler, which makes data and runs no code.

A checkpoint is a pickle, and a pickle may call any function while it is read.
``torch.load(weights_only=True)`` refuses all but tensors and plain containers,
and with them MMEngine's own checkpoints, which hold log buffers and NumPy's
numbers. Here these few are let in, NumPy's by stand-ins that take plain
numbers only: its own constructors believe what a pickle says about memory.
"""

import argparse
import os
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

__all__ = ['safe_reading', 'why_unreadable', 'why_unsafe']

# With it torch overrules whatever a caller, such as MMEngine or timm, asks of torch.load.
FORCE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
UNFORCE = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
PLAIN_DTYPE = re.compile(r'[|<>=]?(?:[biufc]\d{1,2}|[SU]\d{1,9})')


def _named(name: str) -> Callable:
    """Gives a class or function the name under which pickles know what it stands in for."""

    def rename(item: Any) -> Any:
        module, _, inner = name.rpartition('.')
        item.__module__, item.__name__, item.__qualname__ = module, inner, inner
        return item

    return rename


@_named('numpy.dtype')
class _Dtype:
    """In the place of ``numpy.dtype``: numbers and text, no objects and no records."""

    def __init__(self, spec: object, align: object = False, copy: object = False) -> None:
        if not isinstance(spec, str) or not PLAIN_DTYPE.fullmatch(spec):
            raise pickle.UnpicklingError(f'array of type {spec!r:.40}')
        self.plain = np.dtype(spec)

    def __setstate__(self, state: Any) -> None:
        if state[1] in ('<', '>'):
            self.plain = self.plain.newbyteorder(state[1])


@_named('numpy.ndarray')
class _ArrayType:
    """In the place of ``numpy.ndarray``, which a pickle only names."""


class _Array(np.ndarray):
    """An array that fills itself from bytes alone."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
            raise pickle.UnpicklingError('array of other things than numbers')
        plain: Any = (1, shape, dtype.plain, bool(fortran), raw)
        super().__setstate__(plain)

    def __reduce__(self):
        return self.view(np.ndarray).__reduce__()


def _reconstruct(kind: object, shape: object, code: object) -> _Array:
    return _Array((0,), np.int8)


def _scalar(dtype: Any, raw: Any) -> np.generic:
    if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
        raise pickle.UnpicklingError('NumPy scalar of no plain type')
    (value,) = np.frombuffer(raw, dtype.plain)
    return value


@_named('builtins.getattr')
def _attribute(item: object, name: object) -> object:
    """In the place of ``getattr``: the statistics of MMEngine's log buffers, nothing else."""
    if item is not HistoryBuffer or not isinstance(name, str) or name.startswith('_'):
        raise pickle.UnpicklingError(f'GLOBAL getattr of {item!r:.60}')
    return getattr(item, name)


def _copy(function: Callable, name: str) -> Callable:
    def stand_in(*args: Any) -> Any:
        return function(*args)

    return _named(name)(stand_in)


ALLOWED = [
    argparse.Namespace,
    HistoryBuffer,
    _Array,
    _ArrayType,
    _Dtype,
    _attribute,
    # NumPy 1 and NumPy 2 call them differently.
    *(_copy(_reconstruct, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')),
    *(_copy(_scalar, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
]


@contextmanager
def safe_reading(allowed: Sequence[Callable] = ALLOWED) -> Iterator[None]:
    """Within it ``torch.load`` runs no code of a file, whoever calls it and however.

    Other classes than those allowed raise ``pickle.UnpicklingError``. It
    changes the whole process while it lasts.

    Args:
        allowed: What a pickle may name beside tensors and plain containers;
            by default what MMEngine's checkpoints need.
    """
    before = list(torch.serialization.get_safe_globals())
    environment = {name: os.environ.pop(name, None) for name in (FORCE, UNFORCE)}
    os.environ[FORCE] = '1'
    torch.serialization.add_safe_globals(list(allowed))
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)
        os.environ.pop(FORCE)
        os.environ.update({name: text for name, text in environment.items() if text is not None})


def why_unsafe(error: BaseException) -> str | None:
    """What torch's unpickler refused, or None where the file is broken rather than unsafe."""
    message = str(error)
    found = re.search(r'GLOBAL (\S+)', message)
    if found:
        return found[1]
    if 'reduce for unrecognized' in message or 'blocklisted' in message:
        return 'a call'
    found = re.search(r'(?:array|NumPy scalar) of [^\n]*', message)
    return found[0] if found else None


def why_unreadable(error: BaseException) -> str:
    """The reason in an error of ``torch.load``, without its advice to read the file unsafely."""
    message = str(error)
    if 'TorchScript' in message:
        return 'a TorchScript program, not weights'
    found = re.search(r'WeightsUnpickler error:\s*([^\n]*)', message)
    if found or message.startswith('Weights only load failed'):
        return (found and found[1].strip()) or 'not a file of torch.save'
    return message.split('\n')[0].split('. In PyTorch')[0] or type(error).__name__

"""Numbers in a config, against the types of the arguments that they are given to."""

import functools
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Number, Real
from typing import Any, NamedTuple

from mmssl_prior.errors import UserError

__all__ = ['argument_types', 'check_numbers', 'check_places']


class Place(NamedTuple):
    """Numbers of classes that neither annotate nor check them, by their path."""

    path: str
    kind: Any
    least: float = -math.inf
    #: Whether the least is excluded.
    above: bool = False
    most: float = math.inf
    #: As `most`, and excluded.
    below: float = math.inf


PLACES = (
    Place(r'_dataloader\.batch_size$', int, 1),
    Place(r'_dataloader\.prefetch_factor$', int | None, 1),
    Place(r'_dataloader\.num_workers$', int, 0),
    Place(r'_dataloader\.timeout$', float, 0),
    Place(r'_dataloader\.(drop_last|pin_memory|persistent_workers)$', bool),
    Place(r'\.dataset\.indices$', int | None | Sequence[int]),
    Place(r'(^|\.)train_cfg\.(max_epochs|max_iters|val_interval)$', int | None, 1),
    Place(r'^default_hooks\.(logger|visualization)\.interval$', int, 1),
    Place(r'^log_processor\.window_size$', int, 1),
    Place(r'^randomness\.seed$', int | None, 0, below=2**32),
    Place(r'^env_cfg\.mp_cfg\.opencv_num_threads$', int, 0),
    Place(r'^optim_wrapper\.accumulative_counts$', int, 1),
    Place(r'^optim_wrapper\.clip_grad\.(max_norm|clip_value)$', float, 0, above=True),
    Place(r'^optim_wrapper\.optimizer\.(lr|weight_decay|momentum)$', float, 0),
    Place(r'^optim_wrapper\.optimizer\.eps$', float, 0),
    Place(r'^optim_wrapper\.optimizer\.betas\.\d$', float, 0, below=1),
    Place(r'^param_scheduler\.(\d+\.)?(begin|eta_min)$', float, 0),
    Place(r'^param_scheduler\.(\d+\.)?(end|T_max)$', float | None, 0, above=True),
    Place(r'^param_scheduler\.(\d+\.)?start_factor$', float, 0, above=True, most=1),
    Place(r'^param_scheduler\.(\d+\.)?end_factor$', float, 0, most=1),
    Place(r'^param_scheduler\.(\d+\.)?(by_epoch|convert_to_iter_based)$', bool),
    Place(r'\.data_preprocessor\.mean(\.\d)?$', float | Sequence[float] | None),
    Place(r'\.data_preprocessor\.std(\.\d)?$', float | Sequence[float] | None, 0, above=True),
    Place(r'\.backbone\.arch\.(embed_dims|num_layers|num_heads|feedforward_channels)$', int, 1),
    Place(
        r'\.(neck|head)\.(in_channels|hid_channels|out_channels|embed_dim)(\.\d)?$',
        int | Sequence[int] | None,
        1,
    ),
    Place(r'\.backbone\.(img_size|patch_size)(\.\d)?$', int | Sequence[int] | None, 1),
)

# Where no limit is meant, or the largest element.
MAY_BE_INFINITE = frozenset({'max_norm', 'norm_type', 'clip_value'})
KINDS = {
    bool: 'True or False',
    int: 'an integer',
    float: 'a number',
    str: 'a string',
    type(None): 'None',
    list: 'a sequence',
}


@functools.cache
def argument_types(item: Callable) -> dict[str, Any]:
    """Annotations of a function's arguments, or of a class's with those of its base classes."""
    if not inspect.isclass(item):
        return _annotations(item)
    found: dict[str, Any] = {}
    for base in reversed(inspect.getmro(item)):
        if base is not object and '__init__' in vars(base):
            found.update(_annotations(vars(base)['__init__']))
    return found


def _annotations(function: Callable) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(function)
        parameters = inspect.signature(function).parameters.values()
    except Exception:  # of others, under names that are not imported
        return {}
    named = (p for p in parameters if p.kind is not p.VAR_KEYWORD)
    found = {p.name: hints.get(p.name, Any) for p in named}
    # `width: float = None` takes None, whatever its annotation says.
    nothing = {p.name for p in parameters if p.default is None}
    return {name: hint | None if name in nothing else hint for name, hint in found.items()}


def check_numbers(path: str, node: Mapping, item: Callable) -> None:
    """Checks what stands for numbers in a dict of arguments.

    Only where the annotation is of numbers, strings and sequences of them can
    it be known; elsewhere a NaN is refused.

    Args:
        path: Of the dict in the config.
        node: The dict.
        item: The class or function that is given its items.

    Raises:
        UserError: With the path of the item, and what it must be.
    """
    hints = argument_types(item)
    exact = getattr(item, '__module__', '').startswith('mmssl_prior.')
    for key, value in node.items():
        _check(f'{path}.{key}', key, value, hints.get(key, Any), exact)


def _check(path: str, key: str, value: Any, hint: Any, exact: bool) -> None:
    options = _options(hint)
    if not exact:
        # Many say int of what is any number, str of what takes numbers too, bool of what may also
        # be named ('qv_bias').
        options = [{int: float, str: Any}.get(option, option) for option in options]
        options += [str] if bool in options else []
    if isinstance(value, (list, tuple)):
        inner = _item_hint(options)
        for index, entry in enumerate(value):
            if not isinstance(entry, Mapping):
                _check(f'{path}.{index}', key, entry, inner, exact)
    elif isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value) or (value < 0 or key not in MAY_BE_INFINITE):
            raise UserError(f'{path} must be finite, got {value}')
    kinds = [_described(option) for option in options]
    loose = not exact and isinstance(value, (list, tuple))
    if loose or None in kinds or any(_fits(value, option) for option in options):
        return
    raise UserError(f'{path} must be {" or ".join(dict.fromkeys(map(str, kinds)))}, got {value!r}')


def _options(hint: Any) -> list[Any]:
    """The types of a union."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [option for part in typing.get_args(hint) for option in _options(part)]
    return [{Real: float, Number: float, Integral: int}.get(hint, hint)]


def _item_hint(options: list[Any]) -> Any:
    """The type of the items of a sequence, where all are of one."""
    for option in options:
        if _origin(option) is list:
            inner = {arg for arg in typing.get_args(option) if arg is not Ellipsis}
            if len(inner) == 1:
                return inner.pop()
    return Any


def _origin(option: Any) -> Any:
    origin = typing.get_origin(option) or option
    return list if origin in (tuple, Sequence) else origin


def _length(option: Any) -> int | None:
    """Of a tuple that has one."""
    arguments = typing.get_args(option)
    fixed = typing.get_origin(option) is tuple and Ellipsis not in arguments
    return len(arguments) if fixed else None


def _described(option: Any) -> str | None:
    name, length = KINDS.get(_origin(option)), _length(option)
    return f'{name} of {length}' if name and length else name


def _fits(value: Any, kind: Any) -> bool:
    option, kind = kind, _origin(kind)
    if kind is list:
        return isinstance(value, (list, tuple)) and len(value) == (_length(option) or len(value))
    if kind is bool:
        return isinstance(value, bool)
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if kind is float else kind)


def check_places(path: str, value: Any) -> None:
    """Checks the numbers below a value that their classes do not check.

    Args:
        path: Of the value in the config.
        value: Dicts and lists with numbers in them.

    Raises:
        UserError: With the path of the number, and what it must be.
    """
    for place in PLACES:
        if not re.search(place.path, path):
            continue
        _check(path, path.rpartition('.')[2], value, place.kind, True)
        if isinstance(value, (int, float)):
            _check_bounds(path, value, place)
    if isinstance(value, Mapping):
        for key, item in value.items():
            check_places(f'{path}.{key}', item)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            check_places(f'{path}.{index}', item)


def _check_bounds(path: str, value: float, place: Place) -> None:
    enough = value > place.least if place.above else value >= place.least
    excluded = value >= place.below and not math.isinf(place.below)
    if not enough or value > place.most or excluded:
        least = f'{"above" if place.above else "at least"} {place.least:g}'
        most = '' if math.isinf(place.most) else f' and at most {place.most:g}'
        below = '' if math.isinf(place.below) else f' and below {place.below:g}'
        raise UserError(f'{path} must be {least}{most}{below}, got {value}')

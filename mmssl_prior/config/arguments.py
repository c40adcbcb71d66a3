"""Unknown classes and unknown arguments in a config, found before anything is built.

A class that swallows ``**kwargs`` hides a misspelt argument, and one that does
not reports it without saying where in the config it stands. This walk knows
the path, and the nearest name.
"""

import difflib
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import mmengine.registry
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import BaseOptimWrapper
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmengine.registry import DefaultScope, Registry
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing
from torch.utils.data import DataLoader

from mmssl_prior.config.numbers import check_numbers, check_places
from mmssl_prior.config.overrides import runner_keys
from mmssl_prior.config.signatures import accepted_arguments
from mmssl_prior.errors import UserError

__all__ = ['check_arguments']

# Read by the registry or by the merging of configs, never by the class.
REGISTRY_KEYS = frozenset({'type', '_scope_', '_delete_'})
# Taken by MMEngine or by layer builders before the class sees the rest.
TAKEN_BY_BUILDER: tuple[tuple[type, frozenset[str]], ...] = (
    (BaseOptimWrapper, frozenset({'constructor', 'paramwise_cfg'})),
    (_ParamScheduler, frozenset({'convert_to_iter_based'})),
    (Hook, frozenset({'priority'})),
)
# Taken by whoever builds what stands at such a place of the config.
TAKEN_AT: tuple[tuple[str, frozenset[str]], ...] = (
    (r'norm_cfg$', frozenset({'requires_grad'})),
    (r'\.policies\.', frozenset({'magnitude_key', 'magnitude_range'})),
)
# The class behind a dict that stands without a type.
DEFAULT_TYPES = {'val_cfg': 'ValLoop', 'test_cfg': 'TestLoop', 'optim_wrapper': 'OptimWrapper'}
LOADER_KEYS = frozenset({'dataset', 'num_batch_per_epoch', 'disable_subprocess_warning'})
# Runner.setup_env reads these by name, and nothing else.
ENV_KEYS = {'cudnn_benchmark', 'dist_cfg', 'mp_cfg', 'resource_limit'}
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def _registries(scope: str) -> list[Registry]:
    """The registries of the scope and MMEngine's, which are their ancestors."""
    modules = [mmengine.registry]
    if scope != 'mmengine':
        try:
            modules.insert(0, importlib.import_module(f'{scope}.registry'))
        except ImportError:
            return []
    return [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, Registry)
    ]


def _knows(registry: Registry, name: str) -> bool:
    registry.import_from_location()
    above = registry.parent
    return name in registry.module_dict or (above is not None and _knows(above, name))


def _candidates(name: str, registries: list[Registry]) -> list[Callable]:
    """Every class or function registered under the name; which one is meant the path decides."""
    found: list[Callable] = []
    for registry in registries:
        try:
            # MMEngine takes an unknown name for a module's, and looks for its file.
            item = registry.get(name) if '.' in name or _knows(registry, name) else None
        except Exception:  # a scope that is not installed, or a name that is no path
            continue
        if item is not None and item not in found:
            found.append(item)
    return found


def _known_names(registries: list[Registry]) -> list[str]:
    return sorted({name for registry in registries for name in registry.module_dict})


def _typed(value: Any, path: str) -> Iterator[tuple[str, Mapping]]:
    """Every dict with a type below a value, with its path."""
    if isinstance(value, Mapping):
        if 'type' in value:
            yield path, value
        for key, item in value.items():
            yield from _typed(item, f'{path}.{key}')
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _typed(item, f'{path}.{index}')


def _meant(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f' (did you mean {near[0]!r}?)' if near else ''


def _remedy(path: str) -> str:
    """What to do about a key that an earlier type of the dict has left."""
    # MMEngine does not read `_delete_` in an item of a list.
    if path.rpartition('.')[2].isdigit():
        return 'if it belongs to another type, change the list in the file'
    return (
        'if it belongs to another type, replace the whole dict: add _delete_=True to it in the '
        f'file, or {path}._delete_=True to --cfg-options'
    )


def _takes(item: Callable, keys: set[str]) -> tuple[set[str], frozenset[str] | None]:
    """Keys that the item does not take, and all that it takes (None: anything)."""
    accepted = accepted_arguments(item)
    if accepted is None:
        return set(), None
    for base, taken in TAKEN_BY_BUILDER:
        if inspect.isclass(item) and issubclass(item, base):
            accepted = accepted | taken
    return keys - accepted, accepted


def _check_typed(path: str, node: Mapping, registries: list[Registry], scope: str) -> None:
    kind = node['type']
    items = _candidates(kind, registries) if isinstance(kind, str) else [kind]
    if not items:
        # Some layers have a `type` of their own that is no class, in lower case (LoRA's targets).
        if not kind.rpartition('.')[2][:1].isupper():
            return
        raise UserError(
            f'{path}: no class {kind!r} is registered in the scope {scope!r}'
            f'{_meant(kind, _known_names(registries))}'
        )
    keys = set(node) - REGISTRY_KEYS
    for place, taken in TAKEN_AT:
        if re.search(place, path):
            keys -= taken
    if kind == 'TIMMBackbone':
        _check_timm_name(path, node)
    results = [(item, *_takes(item, keys)) for item in items]
    item, unknown, accepted = min(results, key=lambda result: len(result[1]))
    if unknown and accepted is not None:
        key = sorted(unknown)[0]
        hint = _meant(key, sorted(accepted))
        if not hint:
            takes = ', '.join(sorted(accepted)) or 'none'
            hint = f' (it takes: {takes}); {_remedy(path)}'
        raise UserError(f'{path}: {getattr(item, "__name__", kind)} has no argument {key!r}{hint}')
    if node.get('convert_to_iter_based') and node.get('by_epoch', True) is False:
        raise UserError(f'{path}: convert_to_iter_based needs by_epoch=True; leave one of them out')
    if len(items) == 1:
        check_numbers(path, node, item)


def _check_timm_name(path: str, node: Mapping) -> None:
    """MMPretrain's class hands the name to timm, whose error has no place."""
    name = node.get('model_name')
    # A name with a scheme ('hf-hub:') is looked up elsewhere.
    if not isinstance(name, str) or ':' in name:
        return
    try:
        import timm
    except ImportError:
        return
    if not timm.is_model(name):
        raise UserError(
            f'{path}: timm {timm.__version__} has no model {name!r}'
            f'{_meant(name, timm.list_models())}; timm.list_models() lists the names'
        )


def _with_type(name: str, value: Any) -> Any:
    """A top-level dict with the type that the Runner will take it for."""
    if not isinstance(value, Mapping) or 'type' in value:
        return value
    if name == 'train_cfg' and 'by_epoch' in value:
        rest = {key: item for key, item in value.items() if key != 'by_epoch'}
        kind = 'EpochBasedTrainLoop' if value['by_epoch'] else 'IterBasedTrainLoop'
        return {'type': kind, **rest}
    return {'type': DEFAULT_TYPES[name], **value} if name in DEFAULT_TYPES else value


def _parameters(function: Callable) -> set[str]:
    return set(inspect.signature(function).parameters)


def _check_loader(path: str, node: Mapping) -> None:
    accepted = _parameters(DataLoader.__init__) | LOADER_KEYS
    for key in node:
        if key not in accepted:
            raise UserError(
                f'{path}: a dataloader has no argument {key!r}{_meant(key, sorted(accepted))}'
            )
    if not node.get('num_workers') and node.get('persistent_workers'):
        raise UserError(
            f'{path}: persistent_workers needs num_workers > 0: set '
            f'{path}.persistent_workers=False as well'
        )


def _check_environment(cfg: Config) -> None:
    """The dicts that the Runner itself takes apart; of the second it ignores what it lacks."""
    known = {
        'randomness': _parameters(Runner.set_randomness) - {'self'},
        'env_cfg': ENV_KEYS,
        'env_cfg.mp_cfg': _parameters(set_multi_processing) - {'distributed'},
    }
    for path, keys in known.items():
        node: Any = cfg
        for step in path.split('.'):
            node = node.get(step) or {}
        for key in node:
            if key not in keys | REGISTRY_KEYS:
                raise UserError(
                    f'{path}: no key {key!r} is read{_meant(key, sorted(keys))} '
                    f'(known: {", ".join(sorted(keys))})'
                )


def check_arguments(cfg: Config) -> None:
    """Checks the types and arguments of everything that the Runner will build.

    Args:
        cfg: A config, with its ``custom_imports`` done.

    Raises:
        UserError: If a type is not registered under any name, or no class of
            that name takes one of the keys. The line has the path, and the
            nearest name.
    """
    # A custom runner may read keys of its own.
    if 'runner_type' not in cfg:
        _check_environment(cfg)
    scope = cfg.get('default_scope') or 'mmengine'
    registries = _registries(scope)
    if not registries:
        return
    read = runner_keys()
    # Registries search from the scope that is current, which the Runner would set.
    with DefaultScope.overwrite_default_scope(scope):
        for name, value in cfg.to_dict().items():
            if name in LOADERS and isinstance(value, Mapping):
                _check_loader(name, value)
            if name in read or 'runner_type' in cfg:
                check_places(name, value)
                for path, node in _typed(_with_type(name, value), name):
                    _check_typed(path, node, registries, scope)

"""``--cfg-options``: merged only where the config has the key.

MMEngine adds a misspelt key without a word. And it merges after the file was
evaluated, so that a variable of the file, already copied into the nested
dicts, is overridden without any effect. Both are errors here, as is a new
top-level key that nothing reads. A leading plus adds a key on purpose:
``+model.head.temperature=0.2``.
"""

import argparse
import difflib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from mmssl_prior.errors import UserError

__all__ = ['apply_overrides', 'parse_overrides', 'runner_keys']

# Top-level keys that the Runner, a loop or a loader reads from the config, beside its arguments.
EXTRA_KEYS = frozenset(
    {
        'activation_checkpointing',
        'compile',
        'custom_imports',
        'efficient_conv_bn_eval',
        'find_unused_parameters',
        'model_wrapper_cfg',
        'runner_type',
        'sync_bn',
    }
)
# Numbers below are in many places of a config by chance.
SMALL = 10


def runner_keys() -> frozenset[str]:
    """The top-level keys of a config that have an effect on the Runner."""
    arguments = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
    return EXTRA_KEYS | arguments


def parse_overrides(pairs: Sequence[str] | None) -> dict[str, Any]:
    """``['a.b=1', '+c=x']`` to ``{'a.b': 1, '+c': 'x'}``, values as MMEngine reads them.

    Raises:
        UserError: If a pair has no ``=`` or its value does not parse.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument('--options', nargs='*', action=DictAction)
    options: dict[str, Any] = {}
    for pair in pairs or ():
        key, separator, text = pair.partition('=')
        if not separator or not key.lstrip('+'):
            raise UserError(f'--cfg-options {pair}: expected KEY=VALUE')
        try:
            # After `=`, so that a key with a leading dash is no option of the parser.
            options.update(parser.parse_args([f'--options={pair}']).options)
            # The parser drops the blanks of a word, which a path may need.
            if isinstance(options[key], str):
                options[key] = text.strip('\'"')
        except (AssertionError, RecursionError) as error:
            # MMEngine's parser knows no dict(...) and never ends on one.
            raise UserError(
                f'--cfg-options {pair}: not a number, word, [list] or (tuple); '
                f'set the keys of a dict one by one: +{key}.KEY=VALUE'
            ) from error
    return options


def _children(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return list(value)
    if isinstance(value, (list, tuple)):
        return [str(index) for index in range(len(value))]
    return []


def _child(value: Any, key: str) -> Any:
    return value[key] if isinstance(value, Mapping) else value[int(key)]


def _walk(value: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """Every path of a config with its value, outermost first."""
    for key in _children(value):
        child_path = f'{path}.{key}' if path else key
        child = _child(value, key)
        yield child_path, child
        yield from _walk(child, child_path)


def _nearest(cfg: Mapping, parent: str, key: str, full: str) -> str:
    """The existing path that was probably meant: a sibling, else the like of the whole path."""
    paths = [path for path, _ in _walk(cfg)]
    prefix = f'{parent}.' if parent else ''
    siblings = {p.rpartition('.')[2]: p for p in paths if p.rpartition('.')[0] == parent}
    near = difflib.get_close_matches(key, siblings, n=1)
    if near:
        return siblings[near[0]] + full[len(prefix + key) :]
    near = [p for p in paths if p.rpartition('.')[2] == full.rpartition('.')[2]]
    near = difflib.get_close_matches(full, near, n=1, cutoff=0.3) or near[:1]
    near = near or difflib.get_close_matches(full, paths, n=1)
    return near[0] if near else ''


def _check_indices(cfg: Mapping, full: str, replaced: set[str]) -> None:
    """Raises where the path enters a list beside its items, or replaces an item as a whole."""
    value: Any = cfg
    steps = full.split('.')
    for place, key in enumerate(steps):
        path = '.'.join(steps[:place])
        if path in replaced:
            return
        if isinstance(value, (list, tuple)):
            where = f'--cfg-options {full}: {path} is a list of {len(value)}'
            if key not in _children(value):
                remedy = (
                    '+default_hooks.NAME.type=TYPE adds a hook'
                    if path == 'custom_hooks'
                    else 'change the list in the file'
                )
                raise UserError(f'{where} (counted from 0) and has no item {key}; {remedy}')
            if steps[place + 1 :] in ([], ['_delete_']):
                raise UserError(
                    f'{where}, and its items cannot be replaced one by one; set keys of the item '
                    f'({path}.{key}.KEY=VALUE) or the whole list ({path}=[...]), '
                    'or change it in the file'
                )
        elif key not in _children(value):
            return
        value = _child(value, key)


def _check_top(cfg: Mapping, full: str, read: frozenset[str]) -> None:
    """Raises for a new top-level key that nothing reads."""
    name = full.partition('.')[0]
    if name in cfg or name in read:
        return
    near = _nearest(cfg, '', name, full)
    near = near or next(iter(difflib.get_close_matches(name, sorted(read), n=1)), '')
    hint = f' (did you mean {near}?)' if near else ''
    raise UserError(
        f'--cfg-options {full}: {name} is not in the config and nothing reads it, '
        f'so this would change nothing{hint}'
    )


def _check_exists(cfg: Mapping, full: str, replaced: set[str]) -> None:
    """Raises unless each step of the path exists (or lies in a dict that is being replaced)."""
    value: Any = cfg
    parent = ''
    for key in full.split('.'):
        if parent in replaced or key == '_delete_':
            return
        if key not in _children(value):
            near = _nearest(cfg, parent, key, full)
            hint = f' (did you mean {near}?)' if near else ''
            raise UserError(
                f'--cfg-options {full}: the config has no such key{hint}; '
                f'to add it, write +{full}=VALUE'
            )
        value = _child(value, key)
        parent = f'{parent}.{key}' if parent else key


def _same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)


def _check_effect(cfg: Mapping, full: str, read: frozenset[str]) -> None:
    """Raises if the path is in a variable of the file that nothing reads afterwards."""
    name, _, rest = full.partition('.')
    if name in read:
        return
    copies = [
        path
        for path, value in _walk({key: cfg[key] for key in cfg if key in read})
        if _same(value, cfg[name])
    ]
    # Small numbers occur everywhere: a key of the same name is the better guess.
    if isinstance(cfg[name], (int, float)) and abs(cfg[name]) < SMALL:
        copies = [path for path in copies if path.rpartition('.')[2] == name] or copies
    suffix = f'.{rest}' if rest else ''
    equal = ', '.join(path + suffix for path in copies)
    raise UserError(
        f'--cfg-options {full}: {name} is a variable of the config file, evaluated before '
        'options are merged, so this would change nothing; change it in the file '
        f'or a copy of the file{f", or override {equal}" if equal else ""}; '
        'values that the file computes from it are not listed here'
    )


def apply_overrides(cfg: Config, options: Mapping[str, Any]) -> None:
    """Merges command line overrides into the config, in place.

    Args:
        cfg: The config.
        options: Dotted path to value; list items by index
            (``custom_hooks.0.interval``). A path with a leading plus may be new.

    Raises:
        UserError: If a path does not exist, or overriding it would change nothing.
    """
    read = runner_keys()
    tree = cfg.to_dict()
    replaced = {key.lstrip('+')[: -len('._delete_')] for key in options if key.endswith('_delete_')}
    merged = {}
    for key, value in options.items():
        full = key.lstrip('+')
        merged[full] = value
        top = full.partition('.')[0]
        _check_indices(tree, full, replaced)
        # A custom runner may read keys of its own.
        if 'runner_type' not in tree:
            _check_top(tree, full, read)
        # A key that the Runner knows cannot be a misspelling.
        if not key.startswith('+') and not (full == top and top in read):
            _check_exists(tree, full, replaced)
        if 'runner_type' not in tree and top in tree:
            _check_effect(tree, full, read)
    try:
        cfg.merge_from_dict(merged)
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(f'--cfg-options {" ".join(options)}: {error}') from error

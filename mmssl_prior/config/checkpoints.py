"""Checkpoints that are missing, unreadable, or of another model.

MMEngine loads with ``strict=False``: a checkpoint of which nothing fits
changes nothing, says so in a long warning, and the run goes on from random
weights.
"""

import logging
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner.checkpoint import _load_checkpoint
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from mmssl_prior.config.latest_checkpoint import latest_checkpoint
from mmssl_prior.config.safe_reading import safe_reading, why_unreadable, why_unsafe
from mmssl_prior.config.schedules import warn_of_restored_schedules
from mmssl_prior.errors import UserError

__all__ = [
    'check_checkpoint',
    'check_checkpoints',
    'check_complete',
    'check_resume',
    'checkpoint_weights',
    'read_checkpoint',
]

# What torch's unpickler raises: bytes that are no pickle fail at any operation of it.
READ_ERRORS = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    pickle.UnpicklingError,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    AssertionError,
)


def read_checkpoint(path: str, what: str = 'checkpoint') -> Mapping:
    """The whole content of a checkpoint; no code of the file is run (:func:`safe_reading`).

    An address is loaded by the same loader that MMEngine will use.

    Raises:
        UserError: If the file is missing or unreadable, holds something else,
            or would run code.
    """
    address = '://' in path
    if not address and not Path(path).expanduser().is_file():
        raise UserError(f'{what} {path}: no such file')
    try:
        if address:
            # MMEngine's fork has a list of its own.
            with safe_reading(allowed=()):
                checkpoint = _load_checkpoint(path, map_location='cpu', logger='silent')
        else:
            with safe_reading():
                checkpoint = torch.load(
                    Path(path).expanduser(), map_location='cpu', weights_only=True
                )
    except READ_ERRORS as error:
        unsafe = why_unsafe(error)
        if unsafe:
            raise UserError(
                f'{what} {path}: refused, as it holds more than weights and could run code when '
                f'it is read ({unsafe}); if you trust who made it, save its weights alone with '
                'torch.save(torch.load(FILE, weights_only=False)["state_dict"], NEW_FILE), '
                'and give that'
            ) from error
        raise UserError(
            f'{what} {path}: not a readable checkpoint ({why_unreadable(error)})'
        ) from error
    if not isinstance(checkpoint, Mapping):
        raise UserError(f'{what} {path}: holds a {type(checkpoint).__name__}, not a state dict')
    return checkpoint


def checkpoint_weights(content: Mapping) -> dict[str, Tensor]:
    """The weights in the content of a checkpoint, by their names in the model."""
    state = content.get('state_dict', content)
    return {
        re.sub(r'^module\.', '', key): value
        for key, value in state.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }


def _read(path: str, what: str) -> Mapping[str, Tensor]:
    return checkpoint_weights(read_checkpoint(path, what))


def _examples(keys: list[str], count: int = 3) -> str:
    return ', '.join(keys[:count]) + (', ...' if len(keys) > count else '')


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    """Names and shapes of the weights; a lazy parameter has no shape to compare yet."""
    items = model.state_dict().items()
    return {k: v.shape for k, v in items if isinstance(v, Tensor) and not is_lazy(v)}


def _unfit(expected: Mapping[str, torch.Size], state: Mapping[str, Tensor]) -> list[str]:
    """The weights of a model that the checkpoint lacks or has in another shape."""
    return [
        f'{key} {tuple(shape)} ({tuple(state[key].shape) if key in state else "missing"})'
        for key, shape in expected.items()
        if key not in state or state[key].shape != shape
    ]


def check_resume(model: nn.Module, path: str | Path, cfg: Config | None = None) -> None:
    """Raises unless every weight of the model is in the checkpoint, with its shape.

    With a config it warns of schedules that the checkpoint will bring in place of the config's.

    Raises:
        UserError: If the file is missing or unreadable, or a weight is missing or differs.
    """
    content = read_checkpoint(str(path), 'resume')
    if cfg is not None:
        warn_of_restored_schedules(cfg, content, str(path))
    unfit = _unfit(_shapes(model), checkpoint_weights(content))
    if unfit:
        raise UserError(
            f'resume {path}: {len(unfit)} weights of the model are missing in the checkpoint or '
            f'of another shape there: {_examples(unfit, 5)}; resume with the config of that run, '
            'or start a new run from its weights with load_from'
        )


def check_complete(
    model: nn.Module,
    path: str | Path,
    state: Mapping[str, Tensor] | None = None,
    parts: Sequence[str] = (),
) -> None:
    """Raises unless the checkpoint holds every weight of a model that is to be evaluated.

    What it lacks would stay random, and the metrics be those of a random part.

    Args:
        model: The model, wrapped or not.
        path: The checkpoint.
        state: Its weights, if they are read already.
        parts: Names of submodules; only their weights are asked for. By
            default all.

    Raises:
        UserError: As :func:`check_checkpoint`, or if a weight is missing or differs in shape.
    """
    inner = model.module if is_model_wrapper(model) else model
    assert isinstance(inner, nn.Module)
    state = _read(str(path), 'checkpoint') if state is None else state
    if not parts:
        _check_some(inner, state, path, '', 'checkpoint')
    expected = {
        key: shape
        for key, shape in _shapes(inner).items()
        if not parts or key.startswith(tuple(f'{part}.' for part in parts))
    }
    unfit = _unfit(expected, state)
    if parts and expected and len(unfit) == len(expected):
        raise UserError(
            f'checkpoint {path}: no weight of {", ".join(parts)} is in it with its name and shape; '
            f'the checkpoint has {_examples(list(state)) or "no tensors"}; expected, and in '
            f'parentheses their shape in the checkpoint: {_examples(unfit)}'
        )
    if unfit:
        raise UserError(
            f'checkpoint {path}: {len(unfit)} weights of the model are missing in it or of another '
            f'shape there, and would be evaluated as they are initialised: {_examples(unfit, 5)}; '
            'give a checkpoint of a run of this config; the config of a run with its --cfg-options '
            'lies in its work dir'
        )


def check_checkpoint(
    model: nn.Module, path: str | Path, prefix: str = '', what: str = 'checkpoint'
) -> None:
    """Raises unless at least one weight of the checkpoint fits the model by name and shape.

    Warns, in one line, where only some do.

    Args:
        model: The model, or the part of it, that will load the checkpoint.
        path: The file, or an address that MMEngine can load.
        prefix: Only keys that begin with it are loaded, and without it.
        what: Where the path comes from, for the message.

    Raises:
        UserError: If the file is missing or unreadable, or nothing in it fits.
    """
    _check_some(model, _read(str(path), what), path, prefix, what)


def _check_some(
    model: nn.Module, state: Mapping[str, Tensor], path: str | Path, prefix: str, what: str
) -> None:
    if prefix:
        prefix = prefix if prefix.endswith('.') else f'{prefix}.'
    target = _shapes(model)
    loaded = {key: value.shape for key, value in state.items() if key.startswith(prefix)}
    unfit = [key for key, shape in loaded.items() if target.get(key[len(prefix) :]) != shape]
    under = f' under the prefix {prefix!r}' if prefix else ''
    if not target:
        return
    if len(unfit) < len(loaded):
        if unfit:
            print_log(
                f'{what} {path}: {len(unfit)} of {len(loaded)} keys{under} do not fit the model by '
                f'name and shape and are not loaded: {_examples(unfit)}',
                logger='current',
                level=logging.WARNING,
            )
        return
    raise UserError(
        f'{what} {path}: no key{under} fits the model by name and shape; '
        f'the checkpoint has {_examples(list(state)) or "no tensors"}; '
        f'the model expects {_examples([prefix + key for key in target])}'
    )


def _pretrained(model: nn.Module) -> Iterator[tuple[str, nn.Module, Mapping]]:
    """Modules that ``init_cfg`` will load a checkpoint into."""
    for name, module in model.named_modules():
        init = getattr(module, 'init_cfg', None)
        for item in init if isinstance(init, (list, tuple)) else [init]:
            if isinstance(item, Mapping) and item.get('type') == 'Pretrained':
                yield name, module, item


def check_checkpoints(model: nn.Module, cfg: Config, resume_from: str | None = None) -> None:
    """Checks every checkpoint that a run will load: ``load_from``, resume, ``init_cfg``.

    Args:
        model: The built model, wrapped or not.
        cfg: The config it was built from.
        resume_from: What a resume that names none goes on from;
            :func:`latest_checkpoint` of the work dir by default.

    Raises:
        UserError: As :func:`check_checkpoint`, and for resume as :func:`check_resume`.
    """
    inner = model.module if is_model_wrapper(model) else model
    assert isinstance(inner, nn.Module)
    path = cfg.get('load_from')
    if cfg.get('resume'):
        path = resume_from or path or latest_checkpoint(cfg.work_dir)
        if path:
            check_resume(inner, path, cfg)
    elif path:
        check_checkpoint(inner, path, what='load_from')
    for name, module, init in _pretrained(inner):
        check_checkpoint(
            module, init['checkpoint'], init.get('prefix') or '', f'init_cfg of {name or "model"}:'
        )

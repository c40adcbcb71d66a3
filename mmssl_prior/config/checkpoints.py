"""Checkpoints that are missing, unreadable, or of another model.

MMEngine loads with ``strict=False``: a checkpoint of which nothing fits
changes nothing, says so in a long warning, and the run goes on from random
weights.
"""

import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmengine.config import Config
from mmengine.model import is_model_wrapper
from mmengine.runner import find_latest_checkpoint
from mmengine.runner.checkpoint import _load_checkpoint
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from mmssl_prior.errors import UserError

__all__ = ['check_checkpoint', 'check_checkpoints']

EXAMPLES = 3


def _read(path: str, what: str) -> Mapping[str, Tensor]:
    """The state dict of a checkpoint, by the same loader that MMEngine will use."""
    if '://' not in path and not Path(path).expanduser().is_file():
        raise UserError(f'{what} {path}: no such file')
    try:
        checkpoint = _load_checkpoint(path, map_location='cpu')
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).split('\n')[0]
        raise UserError(f'{what} {path}: not a readable checkpoint ({reason})') from error
    if not isinstance(checkpoint, Mapping):
        raise UserError(f'{what} {path}: holds a {type(checkpoint).__name__}, not a state dict')
    state = checkpoint.get('state_dict', checkpoint)
    return {
        re.sub(r'^module\.', '', key): value
        for key, value in state.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }


def _examples(keys: list[str]) -> str:
    return ', '.join(keys[:EXAMPLES]) + (', ...' if len(keys) > EXAMPLES else '')


def check_checkpoint(
    model: nn.Module, path: str | Path, prefix: str = '', what: str = 'checkpoint'
) -> None:
    """Raises unless at least one weight of the checkpoint fits the model by name and shape.

    Args:
        model: The model, or the part of it, that will load the checkpoint.
        path: The file, or an address that MMEngine can load.
        prefix: Only keys that begin with it are loaded, and without it.
        what: Where the path comes from, for the message.

    Raises:
        UserError: If the file is missing or unreadable, or nothing in it fits.
    """
    state = _read(str(path), what)
    if prefix:
        prefix = prefix if prefix.endswith('.') else f'{prefix}.'
    # A lazy parameter has no shape to compare yet.
    target = {key: value.shape for key, value in model.state_dict().items() if not is_lazy(value)}
    fits = any(
        key.startswith(prefix) and target.get(key[len(prefix) :]) == value.shape
        for key, value in state.items()
    )
    if fits or not target:
        return
    under = f' under the prefix {prefix!r}' if prefix else ''
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


def check_checkpoints(model: nn.Module, cfg: Config) -> None:
    """Checks every checkpoint that a run will load: ``load_from``, resume, ``init_cfg``.

    Args:
        model: The built model, wrapped or not.
        cfg: The config it was built from.

    Raises:
        UserError: As :func:`check_checkpoint`.
    """
    inner = model.module if is_model_wrapper(model) else model
    assert isinstance(inner, nn.Module)
    path, what = cfg.get('load_from'), 'load_from'
    if cfg.get('resume'):
        what = 'resume'
        path = path or find_latest_checkpoint(cfg.work_dir)
    if path:
        check_checkpoint(inner, path, what=what)
    for name, module, init in _pretrained(inner):
        check_checkpoint(
            module, init['checkpoint'], init.get('prefix') or '', f'init_cfg of {name or "model"}:'
        )

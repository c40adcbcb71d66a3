"""Files of weights as they come: what is in them, and under which terms."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..config import checkpoint_weights, read_checkpoint
from ..errors import UserError, printable
from .licences import UNSTATED
from .vit_layout import examples

__all__ = ['file_content', 'left_out', 'stated_licence', 'weights_of', 'without_heads']

#: What classifiers and other trainings leave beside the encoder.
HEADS = re.compile(r'(?:head|head_dist|classifier|fc|pooler|decoder\w*|mask_token)(?:\..*|$)')


def file_content(path: str) -> Mapping[str, Any]:
    """The content of a checkpoint or of a .safetensors file; no code of it is run."""
    if not path.endswith('.safetensors'):
        return read_checkpoint(path)
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(Path(path).expanduser(), 'pt') as file:
            state = {name: file.get_tensor(name) for name in file.keys()}
            return dict(state_dict=state, meta=file.metadata() or {})
    except FileNotFoundError as error:
        raise UserError(f'checkpoint {printable(path)}: no such file') from error
    except (OSError, SafetensorError) as error:
        raise UserError(
            f'checkpoint {printable(path)}: not a readable safetensors file ({error})'
        ) from error


def weights_of(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights, by their names in the model."""
    # timm and torchvision's references save under 'model'.
    inner = content.get('model')
    return checkpoint_weights(inner if isinstance(inner, Mapping) else content)


def stated_licence(content: Mapping[str, Any]) -> str:
    """What an earlier conversion wrote into the file; empty if nothing."""
    meta = content.get('meta')
    stated = meta.get('licence') if isinstance(meta, Mapping) else None
    return stated if isinstance(stated, str) and stated != UNSTATED else ''


def without_heads(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the encoder alone."""
    return {name: value for name, value in state.items() if not HEADS.fullmatch(name)}


def left_out(state: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> list[str]:
    """A note of what was not kept, if anything."""
    dropped = [name for name in state if name not in kept]
    return [f'left out: {examples(dropped)} ({len(dropped)})'] if dropped else []

"""timm's names of a plain vision transformer, which the MSN release shares."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from .vit_layout import EPS, ViTSizes, renamed

__all__ = ['from_timm', 'timm_arguments', 'timm_call', 'timm_name', 'to_timm']

#: timm, MMPretrain.
PAIRS = (
    ('patch_embed.proj', 'patch_embed.projection'),
    ('norm', 'ln1'),
    ('norm1', 'ln1'),
    ('norm2', 'ln2'),
    ('attn.qkv', 'attn.qkv'),
    ('attn.proj', 'attn.proj'),
    ('mlp.fc1', 'ffn.layers.0.0'),
    ('mlp.fc2', 'ffn.layers.1'),
)
OUTSIDE = PAIRS[:2]
INSIDE = PAIRS[2:]
#: Width, depth, heads, feed-forward width: name in timm and the patches that it is known with.
NAMES = {
    (192, 12, 3, 768): ('tiny', (16,)),
    (384, 12, 6, 1536): ('small', (8, 16, 32)),
    (768, 12, 12, 3072): ('base', (8, 16, 32)),
    (1024, 24, 16, 4096): ('large', (14, 16, 32)),
    (1280, 32, 16, 5120): ('huge', (14,)),
}


def _rules(source: int) -> list[tuple[str, str]]:
    rules = []
    blocks = ('blocks', 'layers')
    for pair in OUTSIDE:
        old, new = pair[source].replace('.', r'\.'), pair[1 - source]
        rules.append((rf'{old}\.(weight|bias)', rf'{new}.\1'))
    for pair in INSIDE:
        old, new = pair[source].replace('.', r'\.'), pair[1 - source]
        rules.append(
            (
                rf'{blocks[source]}\.(\d+)\.{old}\.(weight|bias)',
                rf'{blocks[1 - source]}.\1.{new}.\2',
            )
        )
    return rules


FROM, TO = _rules(0), _rules(1)


def from_timm(
    state: Mapping[str, Tensor], image: tuple[int, int] | None = None
) -> dict[str, Tensor]:
    """A state of timm in MMPretrain's names.

    Where positions are added to the patches alone (``no_embed_class``), the
    class token gets a position of zeros.

    Args:
        state: Of timm.
        image: (height, width), if it is known; else positions that are a
            square in number are of patches alone.
    """
    result = {renamed(name, FROM): value for name, value in state.items()}
    positions, token = result.get('pos_embed'), result.get('cls_token')
    kernel = result.get('patch_embed.projection.weight')
    if positions is None or token is None or kernel is None or positions.ndim != 3:
        return result
    count, patch = positions.shape[1], kernel.shape[-1]
    if image is not None:
        alone = count == image[0] // patch * (image[1] // patch)
    else:
        alone = math.isqrt(count) ** 2 == count and math.isqrt(count - 1) ** 2 != count - 1
    if alone:
        result['pos_embed'] = torch.cat([torch.zeros_like(token), positions], 1)
    return result


def timm_name(name: str) -> str:
    """MMPretrain's name of a weight in timm.

    >>> timm_name('layers.3.ffn.layers.0.0.weight')
    'blocks.3.mlp.fc1.weight'
    """
    return renamed(name, TO)


def to_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state in MMPretrain's names in those of timm."""
    return {timm_name(name): value for name, value in state.items()}


def timm_arguments(sizes: ViTSizes) -> tuple[str, dict[str, Any]]:
    """A name in timm, and what ``timm.create_model`` must be told beside it.

    Raises:
        UserError: If the LayerNorms have an eps that timm does not take by name.
    """
    if sizes.eps != EPS:
        raise UserError(
            f'LayerNorms with eps {sizes.eps:g}: timm.create_model makes them with {EPS:g} only'
        )
    arguments: dict[str, Any] = dict(num_classes=0)
    size, patches = NAMES.get(
        (sizes.width, sizes.depth, sizes.heads, sizes.hidden), ('tiny', (16,))
    )
    if (sizes.width, sizes.depth, sizes.heads, sizes.hidden) not in NAMES:
        arguments |= dict(
            embed_dim=sizes.width,
            depth=sizes.depth,
            num_heads=sizes.heads,
            mlp_ratio=sizes.hidden / sizes.width,
        )
    patch = sizes.patch if sizes.patch in patches else 14 if size == 'huge' else 16
    if patch != sizes.patch:
        arguments['patch_size'] = sizes.patch
    if sizes.side != 224:
        arguments['img_size'] = sizes.side
    if sizes.channels != 3:
        arguments['in_chans'] = sizes.channels
    return f'vit_{size}_patch{patch}_224', arguments


def timm_call(name: str, arguments: Mapping[str, Any]) -> str:
    """The call that makes the model, as text."""
    rest = ''.join(f', {key}={value!r}' for key, value in arguments.items())
    return f'timm.create_model({name!r}{rest})'

"""Plain vision transformers in MMPretrain's names: their sizes, read from shapes."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import UserError, printable

__all__ = ['ViTSizes', 'examples', 'renamed', 'sizes_of', 'stock_config']

EPS = 1e-6
BLOCK = 'layers.{}.'
#: Names of MMPretrain's VisionTransformer by width, depth, heads and feed-forward width.
ARCHES = {
    (192, 12, 3, 768): 'deit-tiny',
    (384, 12, 6, 1536): 'deit-small',
    (768, 12, 12, 3072): 'deit-base',
    (1024, 24, 16, 4096): 'large',
    (1280, 32, 16, 5120): 'huge',
}


@dataclass(frozen=True)
class ViTSizes:
    """Sizes of a plain vision transformer with a class token.

    Args:
        width: Of the tokens.
        depth: Number of blocks.
        heads: Attention heads of a block.
        hidden: Width of the feed-forward layer.
        patch: Side of a patch.
        image: (height, width) that the position embedding is made for.
        channels: Of the image.
        eps: Of the LayerNorms.
    """

    width: int
    depth: int
    heads: int
    hidden: int
    patch: int
    image: tuple[int, int]
    channels: int = 3
    eps: float = EPS

    def __str__(self) -> str:
        return (
            f'ViT of width {self.width}, {self.depth} blocks of {self.heads} heads, patches of '
            f'{self.patch} px, images of {self.image[0]}x{self.image[1]} px'
        )

    @property
    def side(self) -> int | tuple[int, int]:
        """The image size as one number where it is square."""
        return self.image[0] if self.image[0] == self.image[1] else self.image

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every weight, in MMPretrain's names."""
        d, f, p = self.width, self.hidden, self.patch
        patches = self.image[0] // p * (self.image[1] // p)
        shapes: dict[str, tuple[int, ...]] = {
            'cls_token': (1, 1, d),
            'pos_embed': (1, patches + 1, d),
            'patch_embed.projection.weight': (d, self.channels, p, p),
            'patch_embed.projection.bias': (d,),
        }
        for i in range(self.depth):
            block = BLOCK.format(i)
            for name, (rows, columns) in {
                'attn.qkv': (3 * d, d),
                'attn.proj': (d, d),
                'ffn.layers.0.0': (f, d),
                'ffn.layers.1': (d, f),
            }.items():
                shapes[f'{block}{name}.weight'] = (rows, columns)
                shapes[f'{block}{name}.bias'] = (rows,)
            for norm in ('ln1', 'ln2'):
                shapes[f'{block}{norm}.weight'] = shapes[f'{block}{norm}.bias'] = (d,)
        shapes['ln1.weight'] = shapes['ln1.bias'] = (d,)
        return shapes


def stock_config(sizes: ViTSizes) -> dict[str, Any]:
    """Config of MMPretrain's own ``VisionTransformer`` with these sizes."""
    known: Any = ARCHES.get((sizes.width, sizes.depth, sizes.heads, sizes.hidden))
    arch = known or dict(
        embed_dims=sizes.width,
        num_layers=sizes.depth,
        num_heads=sizes.heads,
        feedforward_channels=sizes.hidden,
    )
    config: dict[str, Any] = dict(
        type='VisionTransformer', arch=arch, img_size=sizes.side, patch_size=sizes.patch
    )
    if sizes.channels != 3:
        config['in_channels'] = sizes.channels
    if sizes.eps != EPS:
        config['norm_cfg'] = dict(type='LN', eps=sizes.eps)
    return config


def sizes_of(
    state: Mapping[str, Tensor],
    path: object,
    heads: int | None,
    image: tuple[int, int] | None = None,
    eps: float = EPS,
    foreign: Callable[[str], str] = str,
) -> ViTSizes:
    """The sizes of a plain vision transformer, every shape checked.

    Args:
        state: Its weights in MMPretrain's names.
        path: Where they come from, for the messages.
        heads: Which shapes do not tell; None is width / 64.
        image: (height, width) where it is not square.
        eps: Of the LayerNorms.
        foreign: MMPretrain's name to that in the file, for the messages.

    Raises:
        UserError: If a weight is missing, of another shape, or has no place
            in a plain vision transformer.
    """
    where = f'checkpoint {printable(str(path))}'

    def weight(name: str, dims: int) -> Tensor:
        if name not in state:
            raise UserError(
                f'{where}: {foreign(name)} is missing, so this is not a whole plain vision '
                f'transformer; there are {examples(map(foreign, state))}'
            )
        if state[name].ndim != dims:
            raise UserError(
                f'{where}: {foreign(name)} has shape {tuple(state[name].shape)}, expected '
                f'{dims} dimensions'
            )
        return state[name]

    width, channels, patch, across = weight('patch_embed.projection.weight', 4).shape
    if patch != across:
        raise UserError(
            f'{where}: patches of {patch}x{across} px; only square ones can be converted'
        )
    blocks = {int(m[1]) for name in state if (m := re.match(r'layers\.(\d+)\.', name))}
    hidden = weight('layers.0.ffn.layers.0.0.weight', 2).shape[0]
    patches = weight('pos_embed', 3).shape[1] - 1
    if image is None:
        side = math.isqrt(patches)
        if side * side != patches:
            raise UserError(
                f'{where}: {foreign("pos_embed")} has shape {tuple(state["pos_embed"].shape)}: '
                f'{patches} patches are no square; give the image with --image-size HEIGHT WIDTH'
            )
        image = (side * patch, side * patch)
    heads = heads or max(1, width // 64)
    if width % heads:
        raise UserError(
            f'{where}: {heads} heads do not divide the width {width}; give their number with '
            '--heads N'
        )
    sizes = ViTSizes(width, max(blocks) + 1, heads, hidden, patch, image, channels, eps)
    expected = sizes.shapes()
    for name, shape in expected.items():
        if name not in state or tuple(state[name].shape) != shape:
            found = tuple(state[name].shape) if name in state else 'missing'
            raise UserError(f'{where}: {foreign(name)}: expected shape {shape}, it is {found}')
    for name in state:
        if name not in expected:
            raise UserError(
                f'{where}: {foreign(name)} {tuple(state[name].shape)} has no place in a plain '
                'vision transformer and would change its output: another architecture'
            )
    return sizes


def renamed(name: str, rules: Iterable[tuple[str, str]]) -> str:
    """A name by the first rule (pattern, template) that fits it whole; else as it is."""
    for pattern, template in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(template)
    return name


def examples(names: Iterable[str], count: int = 3) -> str:
    """The first of some names."""
    listed = list(names)
    return (
        ', '.join(printable(name) for name in listed[:count])
        + (', ...' if len(listed) > count else '')
        or 'no tensors'
    )

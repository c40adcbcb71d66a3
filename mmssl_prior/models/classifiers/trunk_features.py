import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from mmpretrain.models.backbones import TIMMBackbone
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import UserError

__all__ = ['FeatureSpec', 'has_tokens', 'parse_feature', 'trunk_features']

TOKENS = re.compile(r'(cls|pool)([1-9]\d*)?(_raw)?')
MAP = re.compile(r'avg(?:([1-9]\d*)x([1-9]\d*))?')


class FeatureSpec(NamedTuple):
    """A feature's name in parts: ``kind`` is 'cls', 'pool' or 'avg'."""

    kind: str
    blocks: int = 1
    norm: bool = True
    window: tuple[int, int] | None = None


class _Transformer(NamedTuple):
    """Blocks, the norm after the last one, the number of tokens before the patches."""

    blocks: nn.ModuleList | nn.Sequential
    norm: Callable[[Tensor], Tensor] | None
    num_prefix_tokens: int
    has_cls: bool


def parse_feature(name: str) -> FeatureSpec:
    """The parts of a feature's name; see :func:`trunk_features`.

    Raises:
        UserError: If it is none.

    Example:
        >>> parse_feature('cls4_raw')
        FeatureSpec(kind='cls', blocks=4, norm=False, window=None)
    """
    if (tokens := TOKENS.fullmatch(name)) is not None:
        return FeatureSpec(tokens[1], int(tokens[2] or 1), tokens[3] is None)
    if (averaged := MAP.fullmatch(name)) is not None:
        window = (int(averaged[1]), int(averaged[2])) if averaged[1] else None
        return FeatureSpec('avg', window=window)
    raise UserError(
        f"unknown feature {name!r}: choose 'cls' or 'pool' of a transformer, of its last n blocks "
        "'cls<n>' or 'pool<n>', before the final norm with '_raw' behind, or of a map 'avg' or "
        "'avg<h>x<w>'"
    )


@torch.no_grad()
def trunk_features(backbone: nn.Module, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    r"""Several features of one forward pass of a backbone.

    ========== ===================================================== =========
    name       feature                                               width
    ========== ===================================================== =========
    cls        class token of the last block, after the final norm   D
    cls<n>     of the last n blocks, the final norm applied to each, n D
               concatenated from the first to the last
    pool       mean of the patch tokens of the last block            D
    pool<n>    of the last n blocks, concatenated                    n D
    ..._raw    the same before the final norm
    avg        last map, averaged over positions                     C
    avg<h>x<w> averaged over windows at stride 1, flattened          varies
    ========== ===================================================== =========

    The final norm is applied to each token of each block, as VISSL does, and
    tokens are pooled after it; MMPretrain's and timm's transformers apply it
    to the last block alone. ``avg6x6`` on the 7 x 7 map of a ResNet is
    VISSL's feature of 8192 numbers.

    Blocks are read off MMPretrain's ``VisionTransformer`` and its subclasses
    (``layers``, ``ln1``) and timm's transformers in ``TIMMBackbone``
    (``blocks``, ``norm``), whatever ``out_type`` says; maps are the last
    output of any backbone, channels first unless timm says ``NHWC``. A backbone
    whose last output is (B, D) already has ``avg``, too.

    Mode and gradients of the backbone are the caller's; nothing is
    differentiated here.

    Args:
        backbone: The network.
        images: Shape (B, 3, H, W).
        names: Of the features.

    Returns:
        Features of shape (B, width), by name.

    Raises:
        UserError: If a name is unknown, or the backbone has no such feature.

    References:
        Goyal et al., VISSL, 2021.
    """
    specs = {name: parse_feature(name) for name in names}
    if not specs:
        raise UserError('trunk_features: name at least one feature')
    depth = max((spec.blocks for spec in specs.values() if spec.kind != 'avg'), default=0)
    transformer = _transformer(backbone, depth) if depth else None
    blocks = list(transformer.blocks)[-depth:] if transformer else []
    with _outputs(blocks) as tokens:
        out = backbone(images)
    normed = []
    if any(spec.norm and spec.kind != 'avg' for spec in specs.values()):
        assert transformer is not None
        if transformer.norm is None:
            raise UserError(
                f'{type(backbone).__name__} has no final norm: choose features without it, whose '
                "names end in '_raw'"
            )
        normed = [transformer.norm(block) for block in tokens]
    features = {}
    for name, spec in specs.items():
        if transformer is None or spec.kind == 'avg':
            features[name] = _averaged(backbone, out, spec.window, name)
        else:
            used = (normed if spec.norm else tokens)[-spec.blocks :]
            features[name] = _pooled(used, spec.kind, transformer, name)
    return features


def has_tokens(backbone: nn.Module) -> bool:
    """Whether a backbone has features of tokens, 'cls' or 'pool'; others have maps, as Swin has.

    Example:
        >>> has_tokens(nn.Conv2d(3, 8, 1))
        False
    """
    try:
        _transformer(backbone, 1)
    except UserError:
        return False
    return True


def _transformer(backbone: nn.Module, depth: int) -> _Transformer:
    """The parts of MMPretrain's and of timm's transformers."""
    owner: Any = backbone.timm_model if isinstance(backbone, TIMMBackbone) else backbone
    blocks = getattr(owner, 'blocks' if owner is not backbone else 'layers', None)
    prefix = getattr(owner, 'num_prefix_tokens', getattr(owner, 'num_extra_tokens', None))
    if prefix is None or not isinstance(blocks, (nn.ModuleList, nn.Sequential)):
        raise UserError(
            f"{type(owner).__name__} is no transformer with tokens: choose 'avg', its last map "
            'averaged over positions'
        )
    if depth > len(blocks):
        raise UserError(f'{type(owner).__name__} has {len(blocks)} blocks, not {depth}')
    names = ('norm', 'fc_norm') if owner is not backbone else ('ln1',)
    norms = [getattr(owner, name, None) for name in names]
    norm = next((norm for norm in norms if not isinstance(norm, (nn.Identity, type(None)))), None)
    has_cls = getattr(owner, 'cls_token', None) is not None
    return _Transformer(blocks, norm, prefix, has_cls)


@contextmanager
def _outputs(blocks: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """What the blocks return while the context is open, in the order in which they run."""
    outputs: list[Tensor] = []
    handles = [
        block.register_forward_hook(lambda *call: outputs.append(call[2])) for block in blocks
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _pooled(blocks: Sequence[Tensor], kind: str, transformer: _Transformer, name: str) -> Tensor:
    if kind == 'cls':
        if not transformer.has_cls:
            raise UserError(f"feature {name!r}: the backbone has no class token; choose 'pool'")
        return torch.cat([tokens[:, 0] for tokens in blocks], 1)
    patches = [tokens[:, transformer.num_prefix_tokens :] for tokens in blocks]
    return torch.cat([tokens.mean(1) for tokens in patches], 1)


def _averaged(backbone: Any, out: Any, window: tuple[int, int] | None, name: str) -> Tensor:
    out = out[-1] if isinstance(out, (list, tuple)) else out
    if out.ndim == 4:
        if getattr(getattr(backbone, 'timm_model', None), 'output_fmt', 'NCHW') == 'NHWC':
            out = out.permute(0, 3, 1, 2)
        if window is None:
            return out.mean((2, 3))
        if out.shape[2] < window[0] or out.shape[3] < window[1]:
            raise UserError(
                f'feature {name!r}: the last map is {out.shape[2]} x {out.shape[3]}, smaller than '
                'the window; choose larger crops or avg'
            )
        return F.avg_pool2d(out, window, stride=1).flatten(1)
    if out.ndim == 2 and window is None:
        return out
    raise UserError(
        f'feature {name!r}: the backbone gives shape {tuple(out.shape)}, not a map (B, C, H, W); '
        "of a transformer choose 'cls' or 'pool'"
    )

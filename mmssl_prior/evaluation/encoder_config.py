"""The lines of a config that use a trained encoder elsewhere."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.utils import to_2tuple
from mmpretrain.models import VisionTransformer
from mmpretrain.registry import MODELS
from torch import nn

from .features import evaluated_backbone, evaluation_mode

__all__ = ['encoder_config']


def encoder_config(
    model: nn.Module,
    backbone: Mapping[str, Any],
    checkpoint: str,
    pool: Mapping[str, Any] | None = None,
) -> str:
    """Python lines for any MMPretrain config: ``backbone``, ``neck`` and ``data_preprocessor``.

    There is a neck where the backbone returns tokens or maps, so that a head
    after it gets the features that the model evaluates. A plain
    :class:`MSNViT` is MMPretrain's own ``VisionTransformer``, which needs
    nothing of this package; another backbone is named as it is, with the
    ``custom_imports`` it may need.

    Args:
        model: The model, for which of its networks it evaluates.
        backbone: Config of its backbone.
        checkpoint: The file that holds the weights.
        pool: Config of the model's pooling, if it has one.
    """
    name = evaluated_backbone(model)
    built: Any = getattr(model, name)
    arguments = {
        key: value for key, value in backbone.items() if key not in ('type', 'init_cfg', 'stem')
    }
    lines = []
    kind = str(backbone['type'])
    if isinstance(built, VisionTransformer) and backbone.get('stem', 'patch') == 'patch':
        kind = 'VisionTransformer'
        arguments = dict(
            arch=_arch(built),
            img_size=_side(built.img_size),
            patch_size=_side(built.patch_embed.projection.stride),
        ) | {k: v for k, v in arguments.items() if k not in ('arch', 'img_size', 'patch_size')}
    elif 'stem' in backbone:
        arguments['stem'] = backbone['stem']
    neck = pool or (dict(type='GlobalAveragePooling') if _gives_maps(built) else None)
    if any(MODELS.get(name).__module__.startswith('mmssl_prior.') for name in _types(kind, neck)):
        lines.append("custom_imports = dict(imports=['mmssl_prior'], allow_failed_imports=False)")
    init_cfg = dict(type='Pretrained', checkpoint=checkpoint, prefix=f'{name}.')
    lines.append('backbone = dict(')
    lines += [f'    {key}={_text(value)},' for key, value in dict(type=kind, **arguments).items()]
    lines += [f'    init_cfg={_text(init_cfg)},', ')']
    if neck:
        lines.append(f'neck = {_text(neck)}')
    normalised: Any = getattr(model, 'data_preprocessor', None)
    if getattr(normalised, '_enable_normalize', False):
        mean, std = (getattr(normalised, name).flatten().tolist() for name in ('mean', 'std'))
        lines.append(
            f'data_preprocessor = dict(mean={_rounded(mean)}, std={_rounded(std)}, '
            f'to_rgb={normalised._channel_conversion})'
        )
    return '\n'.join(lines)


def _types(kind: str, neck: Mapping[str, Any] | None) -> list[str]:
    return [kind, *([str(neck['type'])] if neck else [])]


@torch.no_grad()
def _gives_maps(built: Any) -> bool:
    """Whether the last output has positions, in channels-first maps; found by an image of zeros."""
    image = next(built.parameters()).new_zeros(1, 3, *to_2tuple(getattr(built, 'img_size', 224)))
    with evaluation_mode(built):
        out = built(image)
    return (out[-1] if isinstance(out, (list, tuple)) else out).ndim == 4


def _arch(built: VisionTransformer) -> str | dict:
    """An arch that the stock class knows: a name, or its numbers."""
    settings = built.arch_settings
    names = [name for name, known in VisionTransformer.arch_zoo.items() if known == settings]
    # Of several names the longest, but not of a network with other parts.
    names = [name for name in names if not name.startswith('dinov2')]
    return max(names, key=len, default=dict(settings))


def _side(size: int | tuple[int, int]) -> int | tuple[int, int]:
    height, width = to_2tuple(size)
    return height if height == width else (height, width)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return f'dict({", ".join(f"{key}={_text(item)}" for key, item in value.items())})'
    return repr(value)


def _rounded(values: list[float]) -> list[float]:
    """Single precision as it was written in the config."""
    return [round(value, 4) for value in values]

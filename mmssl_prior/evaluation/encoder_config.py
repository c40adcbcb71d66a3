"""The lines of a config that use a trained encoder elsewhere."""

from collections.abc import Mapping
from typing import Any

from mmengine.utils import to_2tuple
from mmpretrain.models import VisionTransformer
from torch import nn

__all__ = ['encoder_config']


def encoder_config(model: nn.Module, backbone: Mapping[str, Any], checkpoint: str) -> str:
    """Python lines for any MMPretrain config: ``backbone`` and ``data_preprocessor``.

    A plain :class:`MSNViT` is MMPretrain's own ``VisionTransformer``, which
    needs nothing of this package; another backbone is named as it is, with
    the ``custom_imports`` it may need.

    Args:
        model: The model, for which weights it evaluates: those of
            ``target_backbone``, if it has one.
        backbone: Config of its backbone.
        checkpoint: The file that holds the weights.
    """
    prefix = 'target_backbone.' if hasattr(model, 'target_backbone') else 'backbone.'
    built: Any = getattr(model, prefix[:-1])
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
    elif type(built).__module__.startswith('mmssl_prior.'):
        lines.append("custom_imports = dict(imports=['mmssl_prior'], allow_failed_imports=False)")
        if 'stem' in backbone:
            arguments['stem'] = backbone['stem']
    init_cfg = dict(type='Pretrained', checkpoint=checkpoint, prefix=prefix)
    lines.append('backbone = dict(')
    lines += [f'    {key}={_text(value)},' for key, value in dict(type=kind, **arguments).items()]
    lines += [f'    init_cfg={_text(init_cfg)},', ')']
    normalised: Any = getattr(model, 'data_preprocessor', None)
    if getattr(normalised, '_enable_normalize', False):
        mean, std = (getattr(normalised, name).flatten().tolist() for name in ('mean', 'std'))
        lines.append(
            f'data_preprocessor = dict(mean={_rounded(mean)}, std={_rounded(std)}, '
            f'to_rgb={normalised._channel_conversion})'
        )
    return '\n'.join(lines)


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

"""Where a vision transformer looks."""

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..evaluation.encoder import Encoder
from ..evaluation.features import evaluation_mode

__all__ = ['class_attention', 'has_class_token']

TOLERANCE = 1e-3


@torch.no_grad()
def class_attention(encoder: Encoder, images: Tensor) -> Tensor:
    r"""Attention of the class token to the patches, in the last block, for each head.

    .. math:: a_h = \mathrm{softmax}(q_h^{cls} K_h^\top / \sqrt{d})

    without the entries of the class token itself and of register tokens, so
    that a map sums to less than 1. Without a class token it is the mean over
    the patches that attend: what a patch gives to their average.

    It is computed from the block's queries and keys; that it is what the block
    does, is checked: the attention times the values must be what enters the
    block's projection.

    Args:
        encoder: With a vision transformer of this package, MMPretrain or timm.
        images: Preprocessed, shape (B, 3, H, W).

    Returns:
        Shape (B, heads, rows, columns).

    Raises:
        UserError: If the backbone is no such transformer, or attends in
            another way (relative positions, windows).
    """
    block = _last_attention(encoder.backbone)
    if block is None:
        raise UserError(f'{type(encoder.backbone).__name__} is no vision transformer')
    seen: dict[str, Tensor] = {}
    hooks = [
        block.qkv.register_forward_hook(lambda module, args, out: seen.update(qkv=out)),
        block.proj.register_forward_pre_hook(lambda module, args: seen.update(mixed=args[0])),
    ]
    try:
        with evaluation_mode(encoder):
            encoder(images)
    finally:
        for hook in hooks:
            hook.remove()
    batch, tokens = seen['qkv'].shape[:2]
    q, k, v = seen['qkv'].float().view(batch, tokens, 3, block.num_heads, -1).permute(2, 0, 3, 1, 4)
    q, k = (getattr(block, name, nn.Identity())(x) for name, x in (('q_norm', q), ('k_norm', k)))
    attention = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
    mixed = (attention @ v).transpose(1, 2).reshape(seen['mixed'].shape)
    if not torch.allclose(mixed, seen['mixed'].float(), rtol=TOLERANCE, atol=TOLERANCE):
        raise UserError(
            f'{type(encoder.backbone).__name__} attends by more than queries and keys (such as '
            'relative positions)'
        )
    extra = _extra_tokens(encoder)
    rows, columns = _grid(tokens - extra, images)
    asking = attention[:, :, 0] if has_class_token(encoder) else attention[:, :, extra:].mean(2)
    return asking[..., extra:].reshape(batch, block.num_heads, rows, columns)


def has_class_token(encoder: Encoder) -> bool:
    """Whether the backbone has a token that stands for the whole image."""
    return getattr(_transformer(encoder), 'cls_token', None) is not None


def _transformer(encoder: Encoder) -> Any:
    return getattr(encoder.backbone, 'timm_model', encoder.backbone)


def _last_attention(backbone: nn.Module) -> Any:
    found = None
    for module in backbone.modules():
        parts = (getattr(module, 'qkv', None), getattr(module, 'proj', None))
        if all(isinstance(part, nn.Linear) for part in parts) and hasattr(module, 'num_heads'):
            found = module
    return found


def _extra_tokens(encoder: Encoder) -> int:
    """Class, distillation and register tokens, which come first."""
    inner = _transformer(encoder)
    for name in ('num_prefix_tokens', 'num_extra_tokens'):
        if hasattr(inner, name):
            return int(getattr(inner, name))
    return int(has_class_token(encoder))


def _grid(patches: int, images: Tensor) -> tuple[int, int]:
    height, width = images.shape[-2:]
    rows = round((patches * height / width) ** 0.5)
    if rows < 1 or patches % rows:
        raise UserError(f'{patches} patches of {height}x{width} px make no grid')
    return rows, patches // rows

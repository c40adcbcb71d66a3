"""Blocks of MMPretrain's VisionTransformer on token sequences of several lengths at once."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmcv.cnn.bricks.drop import DropPath
from mmcv.cnn.bricks.transformer import FFN
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    'can_pack',
    'class_token_block',
    'drop_path_scales',
    'pack',
    'packed_block',
    'run_block',
    'unpack',
]

Shapes = Sequence[tuple[int, int]]  # (sequences, tokens) of each group
Scales = tuple[Tensor | None, Tensor | None]


def can_pack(layer: Any) -> bool:
    """Whether a layer is the pre-norm block that is written out here, with no other forward pass.

    Not by its class alone: ``fully_shard`` makes a subclass of it.
    """
    return (
        isinstance(layer, TransformerEncoderLayer)
        and type(layer).forward is TransformerEncoderLayer.forward
        and type(layer.attn) is MultiheadAttention
        and type(layer.ffn) is FFN
        and layer.ffn.add_identity
        and not layer.attn.v_shortcut
        and isinstance(layer.attn.out_drop, DropPath)
        and isinstance(layer.ffn.dropout_layer, DropPath)
    )


def pack(groups: Sequence[Tensor]) -> tuple[Tensor, tuple[tuple[int, int], ...]]:
    """Rows (T, D) of groups of shape (B_g, N_g, D), and their shapes (B_g, N_g)."""
    rows = [group.flatten(0, 1) for group in groups]
    shapes = tuple((group.shape[0], group.shape[1]) for group in groups)
    return (rows[0] if len(rows) == 1 else torch.cat(rows)), shapes


def unpack(rows: Tensor, shapes: Shapes) -> list[Tensor]:
    """The groups of shape (B_g, N_g, D) in rows of shape (T, D)."""
    parts = rows.split([b * n for b, n in shapes])
    return [part.view(b, n, -1) for part, (b, n) in zip(parts, shapes)]


def drop_path_scales(layer: TransformerEncoderLayer, rows: Tensor, shapes: Shapes) -> Scales:
    """Stochastic depth of both branches: what to multiply each row with, or None.

    A sample's branch is dropped with probability p, all of its tokens alike,
    and multiplied by 1 / (1 - p) otherwise. Drawn outside of the block, which
    so is the same graph for all layers and their different p.

    Returns:
        For attention and feed-forward layers None or a tensor of shape (T, 1).
    """
    if not layer.training:
        return None, None
    scales: list[Tensor | None] = []
    for drop in (layer.attn.out_drop, layer.ffn.dropout_layer):
        p = float(drop.drop_prob)
        if not p:
            scales.append(None)
            continue
        kept = torch.rand(sum(b for b, _ in shapes), device=rows.device) >= p
        parts = (kept.to(rows.dtype) / (1 - p)).split([b for b, _ in shapes])
        tokens = [part.unsqueeze(1).expand(b, n) for part, (b, n) in zip(parts, shapes)]
        scales.append(torch.cat([part.reshape(-1, 1) for part in tokens]))
    return scales[0], scales[1]


def run_block(block: Callable[..., Tensor], layer: TransformerEncoderLayer, *args: Any) -> Tensor:
    """``block(layer, *args)``; by the ``run`` of a sharded layer, which gathers its parameters."""
    run = getattr(layer, 'run', None)
    return block(layer, *args) if run is None else run(block, *args)


def packed_block(
    layer: TransformerEncoderLayer, rows: Tensor, shapes: Shapes, scales: Scales = (None, None)
) -> Tensor:
    """A block on all tokens of all groups; attention stays within each sequence.

    Args:
        layer: The block.
        rows: Tokens of all groups, shape (T, D).
        shapes: (B_g, N_g) of each group.
        scales: Those of :func:`drop_path_scales`.

    Returns:
        Shape (T, D).
    """
    attn = layer.attn
    outs = []
    for qkv in unpack(attn.qkv(layer.ln1(rows)), shapes):
        b, n, _ = qkv.shape
        q, k, v = qkv.view(b, n, 3, attn.num_heads, attn.head_dims).permute(2, 0, 3, 1, 4).unbind()
        out = attn.scaled_dot_product_attention(q, k, v, dropout_p=_dropout(attn))
        outs.append(out.transpose(1, 2).reshape(b * n, attn.embed_dims))
    out = attn.gamma1(attn.proj_drop(attn.proj(outs[0] if len(outs) == 1 else torch.cat(outs))))
    rows = rows + _scaled(out, scales[0])
    return rows + _scaled(layer.ffn.gamma2(layer.ffn.layers(layer.ln2(rows))), scales[1])


def class_token_block(
    layer: TransformerEncoderLayer, rows: Tensor, shapes: Shapes, scales: Scales = (None, None)
) -> Tensor:
    """A block of which only the class tokens are asked for, which come first.

    The other tokens give keys and values; their queries, projection and
    feed-forward layers, five sixths of a block, are never computed. What is
    computed is the same, and so are all gradients.

    Args:
        layer: The block.
        rows: Tokens of all groups, shape (T, D).
        shapes: (B_g, N_g) of each group.
        scales: Those of :func:`drop_path_scales` for the class tokens, shape (sum of B_g, 1).

    Returns:
        Class tokens of all sequences, shape (sum of B_g, D).
    """
    attn = layer.attn
    width = attn.embed_dims
    normed = layer.ln1(rows)
    bias = attn.qkv.bias
    q_bias, kv_bias = (None, None) if bias is None else (bias[:width], bias[width:])
    first = torch.cat([group[:, 0] for group in unpack(normed, shapes)])
    queries = F.linear(first, attn.qkv.weight[:width], q_bias)
    outs = []
    for q, kv in zip(
        queries.split([b for b, _ in shapes]),
        unpack(F.linear(normed, attn.qkv.weight[width:], kv_bias), shapes),
    ):
        b, n, _ = kv.shape
        k, v = kv.view(b, n, 2, attn.num_heads, attn.head_dims).permute(2, 0, 3, 1, 4).unbind()
        q = q.view(b, attn.num_heads, 1, attn.head_dims)
        out = attn.scaled_dot_product_attention(q, k, v, dropout_p=_dropout(attn))
        outs.append(out.reshape(b, width))
    out = attn.gamma1(attn.proj_drop(attn.proj(torch.cat(outs))))
    tokens = torch.cat([group[:, 0] for group in unpack(rows, shapes)]) + _scaled(out, scales[0])
    return tokens + _scaled(layer.ffn.gamma2(layer.ffn.layers(layer.ln2(tokens))), scales[1])


def _dropout(attn: Any) -> float:
    return attn.attn_drop if attn.training else 0.0


def _scaled(out: Tensor, scale: Tensor | None) -> Tensor:
    return out if scale is None else out * scale

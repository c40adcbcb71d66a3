"""Names and files of ``transformers.ViTMSNModel``."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError, printable
from .vit_layout import ViTSizes, renamed

__all__ = [
    'CONFIG',
    'PROCESSOR',
    'WEIGHTS',
    'config_of',
    'from_hugging_face',
    'hugging_face_name',
    'processor_of',
    'read_json',
    'to_hugging_face',
]

CONFIG, PROCESSOR, WEIGHTS = 'config.json', 'preprocessor_config.json', 'model.safetensors'
QKV = ('query', 'key', 'value')
#: In files (names of transformers 4, which 5 goes on to write and read), MMPretrain.
OUTSIDE = (
    ('embeddings.cls_token', 'cls_token'),
    ('embeddings.position_embeddings', 'pos_embed'),
    ('embeddings.patch_embeddings.projection.weight', 'patch_embed.projection.weight'),
    ('embeddings.patch_embeddings.projection.bias', 'patch_embed.projection.bias'),
    ('layernorm.weight', 'ln1.weight'),
    ('layernorm.bias', 'ln1.bias'),
)
INSIDE = (
    ('layernorm_before', 'ln1'),
    ('layernorm_after', 'ln2'),
    ('attention.output.dense', 'attn.proj'),
    ('intermediate.dense', 'ffn.layers.0.0'),
    ('output.dense', 'ffn.layers.1'),
)
#: Names of the modules of transformers 5, as a state dict of its model has them.
NEW = (
    ('attention.q_proj', 'attention.attention.query'),
    ('attention.k_proj', 'attention.attention.key'),
    ('attention.v_proj', 'attention.attention.value'),
    ('attention.o_proj', 'attention.output.dense'),
    ('mlp.fc1', 'intermediate.dense'),
    ('mlp.fc2', 'output.dense'),
    ('layernorm_before', 'layernorm_before'),
    ('layernorm_after', 'layernorm_after'),
)


def _escaped(name: str) -> str:
    return name.replace('.', r'\.')


def _rules(source: int) -> list[tuple[str, str]]:
    blocks = ('encoder.layer', 'layers')
    rules = [(_escaped(pair[source]), pair[1 - source]) for pair in OUTSIDE]
    for pair in (*INSIDE, ('attention.attention.qkv', 'attn.qkv')):
        rules.append(
            (
                rf'{_escaped(blocks[source])}\.(\d+)\.{_escaped(pair[source])}\.(weight|bias)',
                rf'{blocks[1 - source]}.\1.{pair[1 - source]}.\2',
            )
        )
    return rules


FROM, TO = _rules(0), _rules(1)
OLD = [
    (rf'layers\.(\d+)\.{_escaped(new)}\.(weight|bias)', rf'encoder.layer.\1.{old}.\2')
    for new, old in NEW
]


def from_hugging_face(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state of ``ViTMSNModel`` in MMPretrain's names; query, key and value become one."""
    files = {renamed(name.removeprefix('vit.'), OLD): value for name, value in state.items()}
    result: dict[str, Tensor] = {}
    for name, value in files.items():
        match = re.fullmatch(r'(.+\.attention\.attention\.)(query|key|value)(\..+)', name)
        parts = [f'{match[1]}{part}{match[3]}' for part in QKV] if match else []
        if match and all(part in files for part in parts):
            name = f'{match[1]}qkv{match[3]}'
            value = torch.cat([files[part] for part in parts])
        result[renamed(name, FROM)] = value
    return result


def hugging_face_name(name: str) -> str:
    """MMPretrain's name of a weight in files of ``ViTMSNModel``."""
    return renamed(name, TO).replace('.attention.qkv.', '.attention.{query,key,value}.')


def to_hugging_face(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state in MMPretrain's names in those that files of ``ViTMSNModel`` have."""
    result: dict[str, Tensor] = {}
    for name, value in state.items():
        theirs = renamed(name, TO)
        if '.attention.attention.qkv.' in theirs:
            for part, rows in zip(QKV, value.chunk(3)):
                result[theirs.replace('.qkv.', f'.{part}.')] = rows.contiguous()
        else:
            result[theirs] = value
    return result


def config_of(sizes: ViTSizes) -> dict[str, Any]:
    """Content of config.json."""
    return dict(
        architectures=['ViTMSNModel'],
        model_type='vit_msn',
        hidden_size=sizes.width,
        num_hidden_layers=sizes.depth,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.hidden,
        hidden_act='gelu',
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.02,
        layer_norm_eps=sizes.eps,
        image_size=sizes.image[0],
        patch_size=sizes.patch,
        num_channels=sizes.channels,
        qkv_bias=True,
    )


def processor_of(side: int, mean: Sequence[float], std: Sequence[float]) -> dict[str, Any]:
    """Content of preprocessor_config.json: short side by 256/224, centre crop, bicubic.

    Args:
        side: Side of the crop.
        mean: Of the channels R, G, B, in 0 to 255.
        std: Their standard deviations.
    """
    return dict(
        image_processor_type='BitImageProcessor',
        do_convert_rgb=True,
        do_resize=True,
        size=dict(shortest_edge=round(side * 256 / 224)),
        resample=3,
        do_center_crop=True,
        crop_size=dict(height=side, width=side),
        do_rescale=True,
        rescale_factor=1 / 255,
        do_normalize=True,
        image_mean=[round(value / 255, 6) for value in mean],
        image_std=[round(value / 255, 6) for value in std],
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        UserError: If there is none.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise UserError(
            f'{printable(path)}: not a readable JSON file ({error}); expected that of a folder '
            'that transformers saved'
        ) from error
    if not isinstance(content, dict):
        raise UserError(f'{printable(path)}: expected an object, got {type(content).__name__}')
    return content

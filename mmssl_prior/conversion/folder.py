"""Folders that ``ViTMSNModel.save_pretrained`` wrote."""

import re
from pathlib import Path

from ..errors import UserError, printable
from .encoder_weights import EncoderWeights
from .files import file_content, left_out, stated_licence, weights_of, without_heads
from .hugging_face_layout import (
    CONFIG,
    PROCESSOR,
    WEIGHTS,
    from_hugging_face,
    hugging_face_name,
    read_json,
)
from .vit_layout import EPS, sizes_of, stock_config

__all__ = ['read_folder']


def read_folder(folder: Path, heads: int | None) -> EncoderWeights:
    """The encoder in a folder of Hugging Face's ``ViTMSNModel``.

    Args:
        folder: The folder, with config.json and the weights in one file.
        heads: In place of the number in config.json.

    Raises:
        UserError: If a file is missing, of another model, or lacks a weight.
    """
    config = read_json(folder / CONFIG)
    if config.get('model_type') != 'vit_msn':
        raise UserError(
            f'{printable(folder / CONFIG)}: model_type is {config.get("model_type")!r}, expected '
            "'vit_msn' (ViTMSNModel)"
        )
    if config.get('hidden_act', 'gelu') != 'gelu':
        raise UserError(
            f'{printable(folder / CONFIG)}: hidden_act is {config["hidden_act"]!r}; only gelu can '
            'be converted'
        )
    files = [folder / WEIGHTS, folder / 'pytorch_model.bin']
    file = next((path for path in files if path.is_file()), None)
    if file is None:
        raise UserError(
            f'{printable(folder)}: neither {WEIGHTS} nor pytorch_model.bin is in it; a model in '
            'several files: open it with transformers and save it with '
            "save_pretrained(FOLDER, max_shard_size='20GB')"
        )
    content = file_content(str(file))
    weights = weights_of(content)
    # Classifiers have the encoder under 'vit.', and its mask token beside it.
    kept = {n: v for n, v in without_heads(weights).items() if 'mask_token' not in n}
    state = from_hugging_face(kept)
    heads = heads or config.get('num_attention_heads', 12)
    sizes = sizes_of(
        state,
        file,
        heads,
        eps=float(config.get('layer_norm_eps', EPS)),
        foreign=hugging_face_name,
    )
    encoder = EncoderWeights(str(folder), stock_config(sizes), state, sizes, image=sizes.image)
    encoder.notes += left_out(weights, kept)
    encoder.licence = stated_licence(content) or _card_licence(folder)
    if (folder / PROCESSOR).is_file():
        processor = read_json(folder / PROCESSOR)
        mean, std = processor.get('image_mean'), processor.get('image_std')
        if mean and std:
            encoder.mean = tuple(255 * float(value) for value in mean)
            encoder.std = tuple(255 * float(value) for value in std)
    return encoder


def _card_licence(folder: Path) -> str:
    """The licence in the head of a model card."""
    card = folder / 'README.md'
    if not card.is_file():
        return ''
    text = card.read_text(encoding='utf-8', errors='replace')[:4000]
    found = re.search(r'\A---\s*\n(?:.*\n)*?licen[sc]e:\s*(\S+)', text)
    if found is None or found[1] in ('unknown', 'other'):
        return ''
    return f'{found[1]}, says the model card of the source'

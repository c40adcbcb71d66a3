"""Attention of the class token, laid over images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError
from ..evaluation.features import single_view
from ..evaluation.images_in_order import ImagesInOrder, collated
from .analyzed_model import AnalyzedModel
from .class_attention import class_attention, has_class_token
from .pictures import data_uri, jpeg

__all__ = ['attention_pictures']

SIDE = 128
HEADS = 12
SHARE = 0.62  # of the colours; the rest is the image in grey


@torch.no_grad()
def attention_pictures(model: AnalyzedModel, dataset: Any, indices: Sequence[int]) -> dict:
    """Pictures of the attention in the last block, for some images.

    Each map is stretched over its own range, from dark (least) to bright.

    Args:
        model: Of a checkpoint.
        dataset: With the encoder's pipeline.
        indices: Of the images.

    Returns:
        ``heads``, their number, ``token`` ('class' or 'patches'), whose
        attention it is, and ``rows``, for each image ``image`` (its
        index), ``input``, ``mean`` and up to twelve ``maps``; or ``reason``
        where the backbone has no such attention.
    """
    images = ImagesInOrder(dataset)
    batch = model.data_preprocessor(collated([images[index] for index in indices]), False)
    inputs = single_view(batch['inputs'], 'attention')
    try:
        maps = class_attention(model.encoder, inputs).cpu()
    except UserError as reason:
        return dict(reason=str(reason))
    shown = _pixels(inputs, model.data_preprocessor)
    rows = []
    for index, pixels, heads in zip(indices, shown, maps):
        rows.append(
            dict(
                image=int(index),
                input=_uri(pixels),
                mean=_overlay(pixels, heads.mean(0)),
                maps=[_overlay(pixels, head) for head in heads[:HEADS]],
            )
        )
    token = 'class' if has_class_token(model.encoder) else 'patches'
    return dict(heads=maps.shape[1], token=token, rows=rows)


def _pixels(inputs: Tensor, preprocessor: Any) -> np.ndarray:
    """What the network sees, as colours (B, H, W, 3)."""
    pixels = inputs.float()
    if getattr(preprocessor, '_enable_normalize', False):
        pixels = pixels * preprocessor.std.flatten()[:, None, None]
        pixels = pixels + preprocessor.mean.flatten()[:, None, None]
    # What MMEngine's base class and MMPretrain's own call it.
    if not any(getattr(preprocessor, name, False) for name in ('_channel_conversion', 'to_rgb')):
        # As OpenMMLab's loaders make them.
        pixels = pixels.flip(1)
    return pixels.clamp(0, 255).round().byte().cpu().permute(0, 2, 3, 1).numpy()


def _overlay(pixels: np.ndarray, attention: Tensor) -> str:
    import matplotlib

    size = pixels.shape[:2]
    heat = F.interpolate(attention[None, None], size, mode='bilinear', align_corners=False)[0, 0]
    heat = (heat - heat.min()) / (heat.max() - heat.min()).clamp_min(1e-12)
    colours = matplotlib.colormaps['inferno'](heat.numpy())[..., :3] * 255
    grey = pixels.mean(2, keepdims=True)
    return _uri((SHARE * colours + (1 - SHARE) * grey).round().astype(np.uint8))


def _uri(pixels: np.ndarray) -> str:
    image = Image.fromarray(pixels)
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return data_uri(jpeg(image.resize(size, Image.Resampling.BICUBIC)))

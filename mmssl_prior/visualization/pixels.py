"""From whatever a pipeline holds as an image to colours that can be shown."""

from typing import Any

import numpy as np
import torch
from PIL import Image

from ..errors import UserError

__all__ = ['to_rgb_array']


def to_rgb_array(image: Any, norm_cfg: dict | None = None) -> np.ndarray:
    """An image of a pipeline as uint8 RGB of shape (H, W, 3).

    Arrays are BGR, as OpenMMLab's loaders make them; PIL images and tensors
    of shape (C, H, W), as torchvision makes them, are RGB. Floating point
    values count as 0 to 255 where they lie there, as 0 to 1 where they lie
    there, and are otherwise stretched from their least to their greatest,
    which keeps the picture but not its contrast.

    Args:
        image: Array, PIL image or tensor; grey ones too.
        norm_cfg: ``img_norm_cfg`` that mmcv's ``Normalize`` left in the
            results (``mean``, ``std``, ``to_rgb``); it is undone.

    Raises:
        UserError: If it is no image.

    Example:
        >>> to_rgb_array(np.array([[[255, 0, 0]]], np.uint8)).tolist()  # BGR: blue
        [[[0, 0, 255]]]
    """
    if isinstance(image, Image.Image):
        return np.asarray(image.convert('RGB'))
    is_bgr = not isinstance(image, torch.Tensor)
    pixels = image.detach().cpu().movedim(0, -1).numpy() if not is_bgr else np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise UserError(f'cannot show an image of shape {pixels.shape}: it has no 1 or 3 channels')
    if norm_cfg is not None:
        pixels = pixels * np.asarray(norm_cfg['std']) + np.asarray(norm_cfg['mean'])
        pixels = np.clip(pixels, 0, 255)
        is_bgr = not norm_cfg.get('to_rgb', True)
    pixels = _to_uint8(pixels)
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels[..., ::-1] if is_bgr else pixels)


def _to_uint8(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return pixels
    values = pixels.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 255:
        values = (values - low) / max(high - low, 1e-12) * 255
    elif high <= 1:
        values = values * 255
    return np.round(values).astype(np.uint8)

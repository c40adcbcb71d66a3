"""Images in and out: mmcv's BGR arrays and PIL's RGB images."""

import mmcv
import numpy as np
import torch
from PIL import Image

__all__ = ['array_to_pil', 'check_array', 'pil_to_array']


def check_array(image):
    """Return ``image`` if it is a uint8 array of shape (H, W, 3), else raise TypeError."""
    if not (
        isinstance(image, np.ndarray)
        and image.dtype == np.uint8
        and image.ndim == 3
        and image.shape[2] == 3
    ):
        raise TypeError(
            'seeded transforms take uint8 images of shape (H, W, 3) in BGR '
            f'order or PIL images, got {_describe(image)}'
        )
    return image


def array_to_pil(image):
    """PIL RGB image from a BGR array, as mmcv holds it, or a PIL image.

    Args:
        image (np.ndarray | PIL.Image.Image): uint8 of shape (H, W, 3), BGR.

    Returns:
        PIL.Image.Image: Shares no memory with the array.

    Raises:
        TypeError: If it is neither.
    """
    if isinstance(image, Image.Image):
        return image if image.mode == 'RGB' else image.convert('RGB')
    return Image.fromarray(mmcv.bgr2rgb(check_array(image)))


def pil_to_array(image):
    """uint8 BGR array of shape (H, W, 3) from a PIL RGB image."""
    return mmcv.rgb2bgr(np.asarray(image))


def _describe(image):
    if isinstance(image, (np.ndarray, torch.Tensor)):
        return f'{image.dtype} of shape {tuple(image.shape)}'
    return type(image).__name__

"""Photometric operations on batches of images, each image with parameters of its own.

Images are RGB, of shape (N, 3, h, w), floating point with whole values from 0
to 255, and so is what comes out: values are rounded as those of uint8 images
are by PIL. Parameters have shape (N,). Nothing here waits for the device or
runs once for each image.
"""

import math

import numpy as np
import torch
from torch import Tensor

__all__ = ['blend', 'blur', 'box_blur_taps', 'grayscale', 'luma', 'shift_hue', 'solarize']


def _each(parameter: Tensor) -> Tensor:
    return parameter[:, None, None, None]


def luma(images: Tensor) -> Tensor:
    """ITU-R 601 luma, rounded, shape (N, 1, h, w).

    >>> luma(torch.tensor([255., 0., 0.]).view(1, 3, 1, 1)).item()
    76.0
    """
    red, green, blue = images.split(1, 1)
    return (0.299 * red + 0.587 * green + 0.114 * blue).round_()


def blend(images: Tensor, factor: Tensor, pixel: Tensor, mean: Tensor) -> Tensor:
    r"""Brightness, contrast or saturation, for each image the one that its parameters say.

    .. math::
        y = \bigl\lfloor \mathrm{clip}\bigl(
            f x + (1 - f)(a L(x) + b \overline{L(x)}), 0, 255\bigr) \bigr\rfloor

    with luma L, its mean rounded: (a, b) = (0, 0) changes the brightness, (0, 1) the contrast,
    (1, 0) the saturation; f = 1 changes nothing. As one formula images that
    take these in different orders go together.

    Args:
        images: x.
        factor: f.
        pixel: a.
        mean: b.
    """
    gray = luma(images)
    average = gray.mean((-2, -1), keepdim=True).round_()
    reference = _each(pixel) * gray + _each(mean) * average
    return torch.addcmul(reference, images - reference, _each(factor)).clamp_(0, 255).floor_()


def shift_hue(images: Tensor, shift: Tensor) -> Tensor:
    r"""Turn the hue by a share of the colour circle; value and saturation stay.

    .. math::
        y_n = V - C \max\bigl(0, \min(k, 4 - k, 1)\bigr), \qquad
        k = (n + 6 (H + s)) \bmod 6, \qquad n = 5, 3, 1 \text{ for red, green, blue}

    with value V = max, chroma C = max - min and hue H in [0, 1).

    Args:
        images: The images.
        shift: s.

    >>> red = torch.tensor([255., 0., 0.]).view(1, 3, 1, 1)
    >>> shift_hue(red, torch.tensor([1 / 3])).round().flatten().tolist()
    [0.0, 255.0, 0.0]
    """
    red, green, blue = images.split(1, 1)
    value = images.amax(1, keepdim=True)
    chroma = value - images.amin(1, keepdim=True)
    safe = chroma + (chroma == 0)
    sixths = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    n = torch.arange(5, 0, -2, device=images.device, dtype=images.dtype).view(1, 3, 1, 1)
    k = torch.remainder(n + sixths + 6 * _each(shift), 6)
    return (value - chroma * torch.minimum(k, 4 - k).clamp_(0, 1)).round_()


def grayscale(images: Tensor, share: Tensor) -> Tensor:
    """Luma in all three channels where ``share`` is 1, nothing where it is 0."""
    return torch.lerp(images, luma(images).expand_as(images), _each(share))


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert values from the image's threshold on; 256 inverts none."""
    return torch.where(images >= _each(threshold), 255 - images, images)


def box_blur_taps(radius: float, half_width: int | None = None) -> np.ndarray:
    r"""The filter of PIL's ``GaussianBlur``: three extended box filters in succession.

    Each box has weights (a, 1, ..., 1, a) / (2 l + 1 + 2 a) and variance
    radius^2 / 3, so that together they have the variance of the Gaussian.

    Args:
        radius: Standard deviation in pixels.
        half_width: Pixels on either side of the middle, filled up by zeros.
            As many as needed by default.

    Returns:
        Shape (2 half_width + 1,), float32; sums to one.

    >>> taps = box_blur_taps(2.0)
    >>> len(taps), round(float(taps @ (np.arange(13) - 6) ** 2), 4)
    (13, 4.0)
    """
    variance = radius * radius / 3
    whole = math.floor((math.sqrt(12 * variance + 1) - 1) / 2)
    edge = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance)
    edge /= 6 * (variance - (whole + 1) ** 2)
    box = np.ones(2 * whole + 3)
    box[0] = box[-1] = edge
    box /= 2 * (whole + edge) + 1
    taps = np.convolve(np.convolve(box, box), box).astype(np.float32)
    if half_width is None:
        return taps
    padded = np.zeros(2 * half_width + 1, np.float32)
    spare = half_width - len(taps) // 2
    padded[spare : spare + len(taps)] = taps
    return padded


def blur(images: Tensor, taps: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Separable filter of each image's own, edges continued.

    Two batched products with banded matrices.

    Args:
        images: The images.
        taps: Shape (N, 2 half_width + 1); (..., 0, 1, 0, ...) changes nothing.
        dtype: Of the products. That of the images by default.
    """
    height, width = images.shape[-2:]
    kind = dtype or images.dtype
    output = _bands(taps, height).to(kind)[:, None] @ images.to(kind)
    output = output @ _bands(taps, width).to(kind).mT[:, None]
    return output.to(images.dtype).round_()


def _bands(taps: Tensor, size: int) -> Tensor:
    """Matrices of shape (N, size, size) that filter an axis."""
    number = taps.shape[1]
    index = torch.arange(size, device=taps.device)
    source = index[:, None] + torch.arange(number, device=taps.device) - number // 2
    chosen = source.clamp(0, size - 1)[..., None] == index  # (size, taps, size)
    chosen = chosen.to(taps.dtype).transpose(0, 1).reshape(number, size * size)
    return (taps @ chosen).view(-1, size, size)

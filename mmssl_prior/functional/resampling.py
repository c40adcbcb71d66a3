"""Antialiased crops of a whole batch as two matrix products."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mmssl_prior.errors import UserError

__all__ = ['FILTERS', 'resampled_crops', 'resampling_weights']


def _triangle(x: Tensor) -> Tensor:
    return (1 - x.abs()).clamp_min_(0)


def _cubic(x: Tensor) -> Tensor:
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


def _box(x: Tensor) -> Tensor:
    return ((x > -0.5) & (x <= 0.5)).to(x.dtype)


def _hamming(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 1, torch.sinc(x) * (0.54 + 0.46 * torch.cos(math.pi * x)), 0.0)


def _lanczos(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), 0.0)


#: Filters of PIL by name; the cubic is the one with a = -1/2.
FILTERS: dict[str, Callable[[Tensor], Tensor]] = {
    'bilinear': _triangle,
    'bicubic': _cubic,
    'box': _box,
    'hamming': _hamming,
    'lanczos': _lanczos,
}


def resampling_weights(
    length: int,
    start: Tensor,
    extent: Tensor,
    size: int,
    interpolation: str = 'bilinear',
    mirrored: Tensor | None = None,
) -> Tensor:
    r"""Weights that resample an interval of an axis, antialiased.

    .. math::
        w_{ij} \propto f\Bigl(\frac{j + 1/2 - c_i}{\max(s, 1)}\Bigr), \qquad
        c_i = t + (i + 1/2) s, \qquad s = e / n

    for the pixels j whose centres lie in the interval of start t and extent e;
    f is the filter, n the output's size, and rows sum to one. Pixels outside
    the interval have no part, as where a crop is cut out first and resized
    then.

    Args:
        length: Number of pixels of the axis.
        start: t, of any shape (...), in pixels; need not be whole.
        extent: e, likewise.
        size: n.
        interpolation: A name in :data:`FILTERS`.
        mirrored: Of shape (...), true where the output is to be mirrored.

    Returns:
        Shape (..., n, length), of the dtype of ``start``.

    Raises:
        UserError: If the filter is unknown.

    >>> resampling_weights(4, torch.tensor(0.), torch.tensor(4.), 2)
    tensor([[0.4286, 0.4286, 0.1429, 0.0000],
            [0.0000, 0.1429, 0.4286, 0.4286]])
    """
    if interpolation not in FILTERS:
        raise UserError(f'interpolation must be one of {list(FILTERS)}, got {interpolation!r}')
    start, extent = start[..., None, None], extent[..., None, None]
    kind = dict(dtype=start.dtype, device=start.device)
    index = torch.arange(size, **kind)[:, None] + 0.5  # type: ignore[call-overload]
    if mirrored is not None:
        index = torch.where(mirrored[..., None, None], size - index, index)
    pixel = torch.arange(length, **kind) + 0.5  # type: ignore[call-overload]
    scale = extent / size
    weights = FILTERS[interpolation]((pixel - (start + index * scale)) / scale.clamp_min(1))
    weights = weights * ((pixel > start) & (pixel < start + extent))
    return weights / weights.sum(-1, keepdim=True)


def resampled_crops(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Several resampled crops of each image of a batch.

    Two batched products whatever the number of crops: those of an image are
    stacked for the first, so that its pixels are read once.

    Args:
        images: Shape (B, H, W, C); floating point values.
        rows: Shape (B, V, h, H), as from :func:`resampling_weights`.
        columns: Shape (B, V, w, W).

    Returns:
        Shape (B, V, C, h, w), of the dtype of ``images``.
    """
    batch, height, width, channels = images.shape
    views, h, w = rows.shape[1], rows.shape[2], columns.shape[2]
    kind = images.dtype
    stacked = torch.bmm(
        rows.to(kind).reshape(batch, views * h, height),
        images.reshape(batch, height, width * channels),
    )
    # To (B V, C h, W), so that the columns of all views are one more product.
    stacked = stacked.view(batch * views, h, width, channels).permute(0, 3, 1, 2)
    stacked = stacked.reshape(batch * views, channels * h, width)
    crops = torch.bmm(stacked, columns.to(kind).reshape(batch * views, w, width).mT)
    return crops.view(batch, views, channels, h, w)

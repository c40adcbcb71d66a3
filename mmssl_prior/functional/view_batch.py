"""All views of a batch of images from parameters that were drawn before."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .photometric import blend, blur, grayscale, shift_hue, solarize
from .resampling import resampled_crops, resampling_weights

__all__ = ['GEOMETRY', 'ViewRecipe', 'make_views']

#: Columns in front of those of the steps: the crop in pixels of the source, and mirroring.
GEOMETRY = ('top', 'left', 'height', 'width', 'horizontal', 'vertical')


class ViewRecipe(NamedTuple):
    """What the views of one size have in common.

    Attributes:
        views: Number of views.
        size: (height, width) of a view.
        interpolation: Filter of the crop, a name in ``FILTERS``.
        steps: (kind, number of columns) of what follows the crop, in order.
            ``'jitter'``: 9 columns, three times the parameters of
            :func:`blend`, or 19, where the shift of the hue and three more
            follow; ``'grayscale'`` and ``'solarize'``: 1; ``'blur'``: its
            taps.
    """

    views: int
    size: tuple[int, int]
    interpolation: str
    steps: tuple[tuple[str, int], ...]


def make_views(
    images: Tensor,
    parameters: Sequence[Tensor],
    recipes: Sequence[ViewRecipe],
    mean: Tensor | None = None,
    std: Tensor | None = None,
    channels_reversed: bool = False,
    dtype: torch.dtype = torch.float32,
    chunk_size: int = 32,
) -> list[Tensor]:
    """Views of a batch: crop, mirror, colours, blur, solarisation, normalisation.

    Each operation is one call for all images and views of a recipe; memory
    is bounded by going through the images in chunks. Nothing is drawn here.

    Args:
        images: uint8 of shape (B, H, W, 3), RGB or BGR; what is smaller is
            padded at the bottom and on the right, with anything.
        parameters: For each recipe float32 of shape (B, views, columns):
            those of :data:`GEOMETRY`, then those of the steps.
        recipes: What the columns mean.
        mean: Of shape (3, 1, 1), subtracted at the end.
        std: Likewise, divided by.
        channels_reversed: Whether the images are BGR. The views are RGB.
        dtype: Of the matrix products of resampling and blur; float16 holds
            whole values up to 255 exactly.
        chunk_size: Number of images that are worked on at a time.

    Returns:
        Views of shape (B, 3, h, w), float32. Those of one recipe lie one
        after the other in one block of memory.
    """
    views: list[Tensor] = []
    for recipe, columns in zip(recipes, parameters):
        batch = len(images)
        output = images.new_empty((recipe.views, batch, 3, *recipe.size), dtype=torch.float32)
        for start in range(0, batch, chunk_size):
            part = slice(start, start + chunk_size)
            made = _chunk(images[part], columns[part], recipe, channels_reversed, dtype)
            if mean is not None:
                made = made - mean
            if std is not None:
                made = made / std
            output[:, part] = made.unflatten(0, (-1, recipe.views)).transpose(0, 1)
        views += output.unbind(0)
    return views


def _chunk(
    images: Tensor, columns: Tensor, recipe: ViewRecipe, channels_reversed: bool, dtype: torch.dtype
) -> Tensor:
    """Views of some images, shape (B V, 3, h, w), from 0 to 255."""
    top, left, height, width, horizontal, vertical = columns[..., : len(GEOMETRY)].unbind(-1)
    kind = recipe.interpolation
    rows = resampling_weights(images.shape[1], top, height, recipe.size[0], kind, vertical > 0)
    across = resampling_weights(images.shape[2], left, width, recipe.size[1], kind, horizontal > 0)
    views = resampled_crops(images.to(dtype), rows, across).flatten(0, 1)
    views = views.flip(1).float() if channels_reversed else views.float()
    # Some filters overshoot. Halves are rounded up, as PIL does: at whole scales they are frequent.
    views = views.add_(0.5).floor_().clamp_(0, 255)
    columns, position = columns.flatten(0, 1), len(GEOMETRY)
    for step, number in recipe.steps:
        views = _step(step, views, columns[:, position : position + number], dtype)
        position += number
    return views


def _step(kind: str, views: Tensor, columns: Tensor, dtype: torch.dtype) -> Tensor:
    if kind == 'jitter':
        return _jitter(views, columns)
    if kind == 'blur':
        return blur(views, columns, dtype)
    return {'grayscale': grayscale, 'solarize': solarize}[kind](views, columns[:, 0])


def _jitter(views: Tensor, columns: Tensor) -> Tensor:
    """Three blends, and where there are columns for it the hue and three more."""
    for k in range(0, 9, 3):
        views = blend(views, *columns[:, k : k + 3].unbind(1))
    if columns.shape[1] > 9:
        views = shift_hue(views, columns[:, 9])
        views = _jitter(views, columns[:, 10:])
    return views

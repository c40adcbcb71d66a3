"""Masks that come with the images."""

from collections.abc import Sequence

import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from ...errors import UserError

__all__ = ['batch_masks']


def batch_masks(
    data_samples: Sequence[DataSample] | None, grid: tuple[int, int], transform: str
) -> Tensor:
    """Masks of a batch, bool of shape (B, rows * columns).

    Args:
        data_samples: Samples with ``mask`` of shape ``grid``.
        grid: Rows and columns of patches.
        transform: Name of the transform that makes the masks, for the error.

    Raises:
        UserError: If masks are missing or have another shape.
    """
    masks = [sample.get('mask') for sample in data_samples or ()]
    if not masks or any(mask is None for mask in masks):
        raise UserError(
            f'the images come without masks: put dict(type={transform!r}, grid={grid[0]}) '
            'before PackInputs in the train pipeline'
        )
    shapes = {tuple(mask.shape) for mask in masks}
    if shapes != {tuple(grid)}:
        raise UserError(
            f'masks of shape {sorted(shapes)} for {tuple(grid)} patches: set grid={grid[0]} in '
            f'{transform}'
        )
    return torch.stack(masks).flatten(1).bool()

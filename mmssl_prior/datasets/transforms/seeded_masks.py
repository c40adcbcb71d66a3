"""Seeded masks of patches: blocks, as in BEiT and data2vec, or single patches, as in MAE."""

import math
from abc import abstractmethod

import numpy as np
from mmpretrain.registry import TRANSFORMS

from ...errors import UserError
from ..samplers.epoch_index import index_generator
from .seeded_transform import GENERATOR_KEY, SeededTransform, check_range

__all__ = ['SeededBlockMask', 'SeededMask', 'SeededRandomMask']


class SeededMask(SeededTransform):
    """Base of masks over the grid of an image's patches.

    Adds ``mask``, a bool array that is true where a patch is hidden, which
    ``PackInputs`` packs. It is drawn from the generator of the sample, a
    function of (seed, epoch, index); one mask for a sample. A subclass writes
    :meth:`draw`.

    Args:
        grid (int | Sequence[int]): Rows and columns of patches, or a number
            for a square.

    Raises:
        ValueError: If the grid is not positive.
    """

    def __init__(self, grid):
        grid = (grid, grid) if isinstance(grid, int) else tuple(grid)
        if len(grid) != 2 or not all(isinstance(n, int) and n > 0 for n in grid):
            raise UserError(f'grid must be a positive integer or (rows, columns), got {grid}')
        self.grid = grid

    @abstractmethod
    def draw(self, rng):
        """Draw a mask.

        Args:
            rng (np.random.Generator): All randomness comes from here.

        Returns:
            np.ndarray: bool array of shape ``grid``, true where hidden.
        """

    def apply(self, image, rng):
        """A mask is of the sample, not of a view."""
        raise UserError(
            f'{type(self).__name__} gives a mask to a sample, not to a view: put it into the '
            'pipeline itself, before PackInputs'
        )

    def transform(self, results):
        """Add ``mask``."""
        rng = results.get(GENERATOR_KEY)
        if rng is None:
            rng = index_generator(results.get('sample_idx', 0))
        return {**results, GENERATOR_KEY: rng, 'mask': self.draw(rng)}


@TRANSFORMS.register_module()
class SeededRandomMask(SeededMask):
    r"""Hide patches chosen uniformly; :math:`\lfloor (1 - r) N \rfloor` of N remain.

    Args:
        grid (int | Sequence[int]): Rows and columns of patches.
        ratio (float): r in [0, 1). Defaults to 0.75, that of MAE.

    Raises:
        ValueError: If an argument is outside its range, or no patch remains.

    >>> int(SeededRandomMask(14).draw(np.random.default_rng(0)).sum())
    147
    """

    def __init__(self, grid, ratio=0.75):
        super().__init__(grid)
        patches = math.prod(self.grid)
        # The rounding undoes binary noise, as in patches_to_keep.
        kept = math.floor(round((1 - ratio) * patches, 6))
        if not (0 <= ratio < 1 and kept):
            raise UserError(f'ratio must be in [0, 1) and leave a patch, got {ratio} of {patches}')
        self.ratio = ratio
        self.num_hidden = patches - kept

    def draw(self, rng):
        """Draw a mask."""
        mask = np.zeros(math.prod(self.grid), bool)
        mask[rng.permutation(mask.size)[: self.num_hidden]] = True
        return mask.reshape(self.grid)


@TRANSFORMS.register_module()
class SeededBlockMask(SeededMask):
    r"""Hide exactly n patches in rectangular blocks.

    .. math::
        A \sim U(A_0, \min(n - m, A_1)), \qquad \log r \sim U(\log r_0, \log r_1), \qquad
        h = \mathrm{round} \sqrt{A r}, \quad w = \mathrm{round} \sqrt{A / r}

    for m patches hidden so far (A between the two bounds also when the second
    is the smaller). A block whose sides are shorter than the grid's is placed
    uniformly, and taken if it hides at least one patch more and no more than
    n together with those before.

    Deviation from BEiT and data2vec as released, which after ten failures in
    a row are content with fewer than n patches: here the last ones are then
    taken one by one beside what is hidden (0.4 of 120 on average), so that
    each image weighs the same in the loss. MMPretrain's BEiTMaskGenerator
    never hides the last row and the last column; this one is symmetric, as
    the releases are.

    Args:
        grid (int | Sequence[int]): Rows and columns of patches.
        num_hidden (int): n. Defaults to 120, that of data2vec for 196.
        block_range (Sequence[int]): Range (A_0, A_1) of the area of a block
            in patches. Defaults to (16, 196), that of data2vec.
        aspect_ratio_range (Sequence[float]): Range (r_0, r_1) of height over
            width. Defaults to (0.3, 1 / 0.3).

    Raises:
        ValueError: If an argument is outside its range.

    References:
        Bao et al., BEiT, ICLR 2022.

    >>> int(SeededBlockMask(14).draw(np.random.default_rng(0)).sum())
    120
    """

    attempts = 10

    def __init__(
        self, grid, num_hidden=120, block_range=(16, 196), aspect_ratio_range=(0.3, 1 / 0.3)
    ):
        super().__init__(grid)
        patches = math.prod(self.grid)
        if not (isinstance(num_hidden, int) and 0 < num_hidden < patches):
            raise UserError(f'num_hidden must be from 1 to {patches - 1}, got {num_hidden}')
        self.num_hidden = num_hidden
        self.block_range = check_range('block_range', block_range, 1)
        self.aspect_ratio_range = check_range('aspect_ratio_range', aspect_ratio_range, 0)
        if self.aspect_ratio_range[0] == 0:
            raise UserError('the range of the aspect ratio must not be zero')

    def draw(self, rng):
        """Draw a mask."""
        mask = np.zeros(self.grid, bool)
        while (left := self.num_hidden - int(mask.sum())) and self._add_block(mask, left, rng):
            pass
        while int(mask.sum()) < self.num_hidden:
            self._grow(mask, rng)
        return mask

    def _add_block(self, mask, left, rng):
        """Hide one more block; whether one was found."""
        (rows, columns), (low, high) = self.grid, self.block_range
        low_log, high_log = (math.log(ratio) for ratio in self.aspect_ratio_range)
        for _ in range(self.attempts):
            area = low + (min(left, high) - low) * rng.random()
            ratio = math.exp(rng.uniform(low_log, high_log))
            h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if not (0 < h < rows and 0 < w < columns):
                continue
            top, side = rng.integers(rows - h + 1), rng.integers(columns - w + 1)
            block = mask[top : top + h, side : side + w]
            if 0 < block.size - block.sum() <= left:
                block[:] = True
                return True
        return False

    @staticmethod
    def _grow(mask, rng):
        """Hide one patch beside the hidden ones."""
        padded = np.pad(mask, 1)
        beside = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
        free = np.flatnonzero(beside & ~mask if mask.any() else ~mask)
        mask.flat[free[rng.integers(len(free))]] = True

"""Several views of an image, each a function of (seed, epoch, index, view)."""

import copy

import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS

from ...errors import UserError
from ..samplers.epoch_index import index_generator
from .seeded_transform import (
    GENERATOR_KEY,
    SeededTransform,
    array_to_pil,
    pil_to_array,
    seeded_globals,
)

__all__ = ['SeededMultiView']


@TRANSFORMS.register_module()
class SeededMultiView(BaseTransform):
    """MMPretrain's ``MultiView``, reproducible view by view.

    View v of a sample draws from a generator that is a function of (seed,
    epoch, index as drawn, v), which :class:`EpochSampler` sends along with
    the index: neither the number of ranks or workers, nor persistent workers,
    nor the moment of a resume change a view. A plain integer index, as in
    ``dataset[3]``, counts as drawn with seed 0 in epoch 0.

    Transforms of this package get the generator. Others (MMPretrain, mmcv,
    torchvision) draw from the global generators of ``random``, NumPy and
    torch: these are seeded from the view's generator for the call and
    restored after it.

    Args:
        transforms (Sequence[Sequence[dict | callable]]): Pipelines.
        num_views (int | Sequence[int]): Number of views of each pipeline; a
            number for a single pipeline.

    Raises:
        ValueError: If the numbers do not match the pipelines or are not
            positive.
    """

    def __init__(self, transforms, num_views):
        num_views = [num_views] if isinstance(num_views, int) else list(num_views)
        if len(num_views) != len(transforms):
            raise UserError(
                f'num_views {num_views} must hold one number for each of the '
                f'{len(transforms)} pipelines in transforms'
            )
        if not all(isinstance(n, int) and n > 0 for n in num_views):
            raise UserError(f'num_views must be positive, got {num_views}')
        self.num_views = num_views
        self.pipelines = [
            [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in steps]
            for steps in transforms
        ]

    def transform(self, results):
        """Replace ``results['img']`` by the list of views.

        Args:
            results (dict): ``img`` is a uint8 BGR array of shape (H, W, 3)
                or a PIL image; ``sample_idx`` the index. Not changed.

        Returns:
            dict: As ``results``, with a list of images of the same kind.
        """
        index = results.get('sample_idx', 0)
        source = results['img']
        # Decoded once for all views that begin with one of our transforms.
        shared = None
        if any(isinstance(steps[0], SeededTransform) for steps in self.pipelines if steps):
            shared = array_to_pil(source)
        views: list = []
        for steps, count in zip(self.pipelines, self.num_views):
            for _ in range(count):
                rng = index_generator(index, len(views))
                views.append(_make_view(steps, results, shared, rng))
        return {**results, 'img': views}

    def __repr__(self):
        lines = [f'{type(self).__name__}(']
        for steps, count in zip(self.pipelines, self.num_views):
            lines.append(f'    {count} x [')
            lines += [f'        {step},' for step in steps]
            lines.append('    ],')
        return '\n'.join(lines + [')'])


def _make_view(steps, results, shared, rng):
    """One view. Our transforms hand on PIL images among themselves."""
    image, others = results['img'], None
    as_pil = False  # whether `image` is a PIL image that stands for an array
    for step in steps:
        if isinstance(step, SeededTransform):
            if isinstance(image, np.ndarray):
                image = shared if image is results['img'] else array_to_pil(image)
                as_pil = True
            image = step.apply(array_to_pil(image), rng)
            continue
        if others is None:
            others = copy.deepcopy({key: value for key, value in results.items() if key != 'img'})
        image = _unshared(image, as_pil, results['img'])
        if hasattr(image, 'shape'):
            others['img_shape'] = tuple(image.shape[:2])
        with seeded_globals(rng):
            others = step({**others, GENERATOR_KEY: rng, 'img': image})
        image, as_pil = others.pop('img'), False
    return _unshared(image, as_pil, results['img'])


def _unshared(image, as_pil, source):
    """The image in its own kind, never the very object of the input."""
    if as_pil:
        return pil_to_array(image)
    if image is source:
        return image.copy() if hasattr(image, 'copy') else copy.deepcopy(image)
    return image

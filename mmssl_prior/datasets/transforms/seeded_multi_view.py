"""Several views of an image, each a function of (seed, epoch, index, view)."""

import copy

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS
from PIL import Image
from torch.utils.data import get_worker_info

from ...errors import UserError
from ..samplers.epoch_index import index_generator
from .array_ops import reduce, reduction
from .encoded_image import EncodedImage
from .pixels import array_to_pil, check_array, pil_to_array
from .seeded_crop import SeededRandomResizedCrop
from .seeded_transform import GENERATOR_KEY, SeededTransform, seeded_globals
from .view_source import ViewSource, is_drawn, view_columns, view_recipes

__all__ = ['BACKENDS', 'SeededMultiView']

BACKENDS = ('pillow', 'opencv', 'device')


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

    What is drawn is the same in every backend; what makes the pixels differs:

    - ``'pillow'``: PIL, by torchvision: the reference.
    - ``'opencv'``: uint8 arrays, by OpenCV, and torch for resampling. Within
      1.5 grey levels of the reference on average, several times as fast.
    - ``'device'``: none here. The image goes to the device with the
      parameters of its views, and :class:`MultiViewDataPreprocessor` makes
      the views of the whole batch. Only for pipelines of seeded transforms
      that begin with :class:`SeededRandomResizedCrop`.

    Behind ``LoadImage(defer=True)`` the last two draw the crops from the size
    in the header and decode at a half, a quarter or an eighth of the size
    where that leaves each crop 1.5 times the height and width of its view.

    Args:
        transforms (Sequence[Sequence[dict | callable]]): Pipelines.
        num_views (int | Sequence[int]): Number of views of each pipeline; a
            number for a single pipeline.
        backend (str): ``'pillow'``, ``'opencv'`` or ``'device'``. Defaults
            to ``'pillow'``.

    Raises:
        ValueError: If the numbers do not match the pipelines or are not
            positive; if the backend is unknown or cannot make these views.
    """

    def __init__(self, transforms, num_views, backend='pillow'):
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
        if backend not in BACKENDS:
            raise UserError(f'backend must be one of {list(BACKENDS)}, got {backend!r}')
        self.backend = backend
        if backend == 'device':
            self.recipes = view_recipes(self.pipelines, num_views)

    def transform(self, results):
        """Replace ``results['img']`` by the list of views.

        Args:
            results (dict): ``img`` is a uint8 BGR array of shape (H, W, 3),
                a PIL image or an :class:`EncodedImage`; ``sample_idx`` the
                index. Not changed.

        Returns:
            dict: As ``results``, with a list of images of the same kind
            (arrays of an encoded one); of backend ``'device'`` a
            :class:`ViewSource`.
        """
        make = getattr(self, f'_by_{self.backend}')
        index = results.get('sample_idx', 0)
        steps = [s for s, count in zip(self.pipelines, self.num_views) for _ in range(count)]
        generators = [index_generator(index, view) for view in range(len(steps))]
        return {**results, 'img': make(results, list(zip(steps, generators)))}

    def _by_pillow(self, results, views):
        """Views by PIL: one after the other, drawing and applying step by step."""
        source = results['img']
        if isinstance(source, EncodedImage):
            source = source.decode()
            results = {**results, 'img': source}
        # Decoded once for all views that begin with one of our transforms.
        shared = None
        if any(isinstance(steps[0], SeededTransform) for steps in self.pipelines if steps):
            shared = array_to_pil(source)
        return [_make_view(steps, results, shared, rng) for steps, rng in views]

    def _by_opencv(self, results, views):
        """Views as arrays."""
        if get_worker_info() is not None:
            # Also where the worker did not inherit the setting. The others' cores are taken.
            cv2.setNumThreads(0)
        source = results['img']
        pixels, crops = _cropped(source, views)
        as_pil = isinstance(source, Image.Image)
        made = []
        for (steps, rng), crop in zip(views, crops):
            image = _array_view(steps, rng, {**results, 'img': pixels}, crop, as_pil)
            made.append(array_to_pil(image) if as_pil and isinstance(image, np.ndarray) else image)
        return made

    def _by_device(self, results, views):
        """The image and the parameters of its views."""
        pixels, crops = _cropped(results['img'], views, whole=False)
        rows = []
        for (steps, rng), crop in zip(views, crops):
            height, width = steps[0].scale
            drawn = [crop, *(step.draw(width, height, rng) for step in steps[1:])]
            rows.append(view_columns(steps, drawn))
        columns, first = [], 0
        for recipe in self.recipes:
            columns.append(np.stack(rows[first : first + recipe.views]))
            first += recipe.views
        return ViewSource.of(pixels, self.recipes, columns)

    def __repr__(self):
        lines = [f'{type(self).__name__}(backend={self.backend}']
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
        image = _unshared(image, as_pil, results['img'])
        image, others = _foreign(step, image, others, rng, results)
        as_pil = False
    return _unshared(image, as_pil, results['img'])


def _foreign(step, image, others, rng, results):
    """A transform that knows nothing of generators: its image, and the other keys for the next."""
    if others is None:
        others = copy.deepcopy({key: value for key, value in results.items() if key != 'img'})
    if hasattr(image, 'shape'):
        others['img_shape'] = tuple(image.shape[:2])
    with seeded_globals(rng):
        others = step({**others, GENERATOR_KEY: rng, 'img': image})
    return others.pop('img'), others


def _unshared(image, as_pil, source):
    """The image in its own kind, never the very object of the input."""
    if as_pil:
        return pil_to_array(image)
    if image is source:
        return image.copy() if hasattr(image, 'copy') else copy.deepcopy(image)
    return image


def _cropped(source, views, whole=True):
    """The image no larger than needed, and the crop of each view in its pixels, or None.

    A view that begins with a crop draws it here, before anything else is drawn. ``whole`` asks for
    crops of whole pixels.
    """
    if isinstance(source, Image.Image):
        source = pil_to_array(source if source.mode == 'RGB' else source.convert('RGB'))
    encoded = isinstance(source, EncodedImage)
    if not encoded:
        check_array(source)
    height, width = source.shape[:2]
    crops = [
        steps[0].draw(width, height, rng)
        if steps and isinstance(steps[0], SeededRandomResizedCrop) and is_drawn(steps[0])
        else None
        for steps, rng in views
    ]
    # On the host it is decoding less that pays, and there a crop has whole pixels.
    shrink = _shrink(views, crops) if not whole or (encoded and source.is_plain) else 1
    if encoded:
        pixels = source.pixels(shrink)
    else:
        pixels = source if shrink == 1 else reduce(source, shrink)
    if shrink > 1:
        crops = [_shrunk(crop, shrink, pixels.shape, whole) for crop in crops]
    return pixels, crops


def _shrink(views, crops):
    """Greatest of 8, 4, 2 and 1 by which the image may be reduced for these crops."""
    if any(crop is None for crop in crops):
        return 1
    spare = min(
        min(crop[2] / steps[0].scale[0], crop[3] / steps[0].scale[1])
        for (steps, _), crop in zip(views, crops)
    )
    return reduction(spare)


def _shrunk(crop, shrink, shape, whole):
    """A crop in the pixels of the reduced image, within its bounds."""
    bounds = []
    for start, extent, length in zip(crop[:2], crop[2:], shape):
        start, end = start / shrink, min((start + extent) / shrink, length)
        bounds.append((round(start), round(end)) if whole else (start, end))
    (top, bottom), (left, right) = bounds
    return top, left, bottom - top, right - left


def _array_view(steps, rng, results, crop, as_pil):
    """One view as an array, whose channels lie one after the other as ``PackInputs`` wants them.

    With ``as_pil`` the transforms of others are given PIL images.
    """
    image, others = results['img'], None
    for position, step in enumerate(steps):
        if isinstance(step, SeededTransform) and isinstance(image, Image.Image):
            image = step.apply(array_to_pil(image), rng)
        elif is_drawn(step):
            height, width = check_array(image).shape[:2]
            first = position == 0 and crop is not None
            drawn = crop if first else step.draw(width, height, rng)
            image = image if drawn is None else step.render_array(image, drawn)
        elif isinstance(step, SeededTransform):
            image = pil_to_array(step.apply(array_to_pil(image), rng))
        else:
            image = image.copy() if image is results['img'] else image
            image = array_to_pil(image) if as_pil and isinstance(image, np.ndarray) else image
            image, others = _foreign(step, image, others, rng, results)
            image = pil_to_array(image) if as_pil and isinstance(image, Image.Image) else image
    if not (isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3):
        return image
    planes = np.empty((image.shape[2], *image.shape[:2]), np.uint8)
    cv2.split(image, list(planes))
    return planes.transpose(1, 2, 0)

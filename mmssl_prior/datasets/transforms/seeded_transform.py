"""What the seeded augmentations share: generators, and drawing apart from applying."""

import random
from abc import abstractmethod
from contextlib import contextmanager

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from PIL import Image

from ...errors import UserError
from ..samplers.epoch_index import index_generator
from .pixels import array_to_pil, pil_to_array

__all__ = [
    'GENERATOR_KEY',
    'DrawnTransform',
    'SeededTransform',
    'array_to_pil',
    'check_probability',
    'check_range',
    'pil_to_array',
    'seeded_globals',
]

GENERATOR_KEY = 'view_generator'


@contextmanager
def seeded_globals(rng):
    """Run a block with the global generators seeded from ``rng``.

    For transforms that draw from the global generators of ``random``, NumPy
    and torch (CPU); their states are restored after. Exactly one number is
    taken from ``rng``.

    Args:
        rng (np.random.Generator): Source of the seed.

    >>> before = random.getstate()
    >>> with seeded_globals(np.random.default_rng(0)):
    ...     first = random.random()
    >>> with seeded_globals(np.random.default_rng(0)):
    ...     assert random.random() == first
    >>> random.getstate() == before
    True
    """
    seed = int(rng.integers(2**32))
    python_state = random.getstate()
    numpy_state = np.random.get_state()
    # torch.manual_seed would seed the accelerators as well.
    torch_state = torch.default_generator.get_state()
    try:
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.default_generator.set_state(torch_state)


def check_probability(name, value):
    """Return ``value`` if it lies in [0, 1], else raise ValueError."""
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise UserError(f'{name} must lie in [0, 1], got {value!r}')
    return float(value)


def check_range(name, value, low, high=float('inf')):
    """Return ``value`` as (min, max) within [low, high] or raise ValueError."""
    pair = isinstance(value, (list, tuple)) and len(value) == 2
    numbers = pair and all(isinstance(bound, (int, float)) for bound in value)
    if not (numbers and low <= value[0] <= value[1] <= high):
        raise UserError(f'{name} must be (min, max) within [{low}, {high}], got {value}')
    return float(value[0]), float(value[1])


class SeededTransform(BaseTransform):
    """Base of augmentations that draw from a generator they are given.

    A subclass writes :meth:`apply`, a function of a PIL RGB image and a
    generator, and stores its parameters under the names of its arguments.

    Inside :class:`SeededMultiView` the generator is that of the view. In a
    plain pipeline the first seeded transform makes one from the sample's
    index and leaves it in ``results`` for those behind it; there the image
    comes out as it came in: a BGR array, or a PIL image.
    """

    @abstractmethod
    def apply(self, image, rng):
        """Augment one image.

        Args:
            image (PIL.Image.Image): RGB; never changed in place.
            rng (np.random.Generator): All randomness comes from here.

        Returns:
            PIL.Image.Image: RGB.
        """

    def transform(self, results):
        """Augment ``results['img']`` in a plain pipeline."""
        rng = results.get(GENERATOR_KEY)
        if rng is None:
            rng = index_generator(results.get('sample_idx', 0))
        image = results['img']
        output = self.apply(array_to_pil(image), rng)
        size = (output.height, output.width)
        if not isinstance(image, Image.Image):
            output = pil_to_array(output)
        return {**results, GENERATOR_KEY: rng, 'img': output, 'img_shape': size}

    def __repr__(self):
        arguments = ', '.join(f'{k}={v}' for k, v in vars(self).items())
        return f'{type(self).__name__}({arguments})'


class DrawnTransform(SeededTransform):
    """Base of augmentations that draw first and look at the image then.

    What is drawn depends on the image's size alone, so it can be drawn before
    the image is decoded, and applied by whichever backend of
    :class:`SeededMultiView` makes the view: by :meth:`render` to a PIL image,
    by :meth:`render_array` to an array, or as :meth:`columns` of a batch on
    the device. A subclass writes these.
    """

    @abstractmethod
    def draw(self, width, height, rng):
        """Draw parameters for an image of this size.

        Args:
            width (int): Of the image.
            height (int): Of the image.
            rng (np.random.Generator): All randomness comes from here.

        Returns:
            Parameters for the other methods; None leaves the image as it is.
        """

    @abstractmethod
    def render(self, image, drawn):
        """Apply what was drawn (not None) to a PIL RGB image."""

    @abstractmethod
    def render_array(self, image, drawn):
        """Apply what was drawn (not None) to a uint8 BGR array."""

    @abstractmethod
    def step(self):
        """(kind, number of columns) of :class:`ViewRecipe`."""

    @abstractmethod
    def columns(self, drawn):
        """What was drawn, or None, as that many numbers."""

    def apply(self, image, rng):
        """Draw and apply."""
        drawn = self.draw(image.width, image.height, rng)
        return image if drawn is None else self.render(image, drawn)

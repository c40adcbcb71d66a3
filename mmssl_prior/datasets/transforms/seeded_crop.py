"""Seeded geometric augmentations: random resized crop and flip."""

import math

import torchvision.transforms.functional as F
from mmpretrain.registry import TRANSFORMS
from torchvision.transforms import InterpolationMode

from ...errors import UserError
from . import array_ops
from .seeded_transform import DrawnTransform, check_probability, check_range

__all__ = ['SeededFlip', 'SeededRandomResizedCrop']


@TRANSFORMS.register_module()
class SeededRandomResizedCrop(DrawnTransform):
    r"""Crop of random area and aspect ratio, resized.

    .. math::
        A \sim U(s_0, s_1)\,HW, \qquad \log r \sim U(\log r_0, \log r_1),
        \qquad w = \sqrt{A r}, \quad h = \sqrt{A / r}

    A crop that does not fit is drawn again, up to ten times; then the largest
    central one of an allowed ratio is taken. Arguments are those of
    MMPretrain's ``RandomResizedCrop``; distribution and antialiased
    resampling are torchvision's (which released MSN uses).

    Args:
        scale (int | Sequence[int]): Output size, (height, width) or a number
            for a square.
        crop_ratio_range (Sequence[float]): Range (s_0, s_1) of the area.
            Defaults to (0.08, 1.0).
        aspect_ratio_range (Sequence[float]): Range (r_0, r_1) of width over
            height. Defaults to (3/4, 4/3).
        interpolation (str): 'nearest', 'bilinear', 'bicubic', 'box',
            'hamming' or 'lanczos'. Defaults to 'bilinear'.

    Raises:
        ValueError: If an argument is outside its range.
    """

    attempts = 10

    def __init__(
        self,
        scale,
        crop_ratio_range=(0.08, 1.0),
        aspect_ratio_range=(3 / 4, 4 / 3),
        interpolation='bilinear',
    ):
        size = tuple(scale) if isinstance(scale, (list, tuple)) else (scale, scale)
        if len(size) != 2 or not all(type(s) is int and s > 0 for s in size):
            raise UserError(f'scale must be a positive integer or (height, width), got {scale}')
        self.scale = size
        self.crop_ratio_range = check_range('crop_ratio_range', crop_ratio_range, 0, 1)
        self.aspect_ratio_range = check_range('aspect_ratio_range', aspect_ratio_range, 0)
        if self.crop_ratio_range[1] == 0 or self.aspect_ratio_range[0] == 0:
            raise UserError('ranges of area and aspect ratio must not be zero')
        modes = [mode.value for mode in InterpolationMode]
        if interpolation not in modes:
            raise UserError(f'interpolation must be one of {modes}, got {interpolation!r}')
        self.interpolation = interpolation

    def draw(self, width, height, rng):
        """top, left, height, width of a crop of an image of this size."""
        low, high = self.aspect_ratio_range
        for _ in range(self.attempts):
            area = width * height * rng.uniform(*self.crop_ratio_range)
            ratio = math.exp(rng.uniform(math.log(low), math.log(high)))
            w = round(math.sqrt(area * ratio))
            h = round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                top = int(rng.integers(height - h + 1))
                left = int(rng.integers(width - w + 1))
                return top, left, h, w
        ratio = min(max(width / height, low), high)
        w = min(width, round(height * ratio))
        h = min(height, round(width / ratio))
        return (height - h) // 2, (width - w) // 2, h, w

    def render(self, image, drawn):
        """Crop and resize a PIL image."""
        return F.resized_crop(image, *drawn, self.scale, InterpolationMode(self.interpolation))

    def render_array(self, image, drawn):
        """Crop and resize an array."""
        return array_ops.crop_and_resize(image, drawn, self.scale, self.interpolation)

    def step(self):
        """Its columns come before those of all others."""
        return 'crop', 4

    def columns(self, drawn):
        """top, left, height, width."""
        return drawn


@TRANSFORMS.register_module()
class SeededFlip(DrawnTransform):
    """Mirror with a given probability.

    Args:
        prob (float): Probability. Defaults to 0.5.
        direction (str): 'horizontal' (left and right change places) or
            'vertical'. Defaults to 'horizontal'.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(self, prob=0.5, direction='horizontal'):
        self.prob = check_probability('prob', prob)
        if direction not in ('horizontal', 'vertical'):
            raise UserError(f"direction must be 'horizontal' or 'vertical', got {direction!r}")
        self.direction = direction

    def draw(self, width, height, rng):
        """Whether to mirror."""
        return True if rng.random() < self.prob else None

    def render(self, image, drawn):
        """Mirror a PIL image."""
        return F.hflip(image) if self.direction == 'horizontal' else F.vflip(image)

    def render_array(self, image, drawn):
        """Mirror an array."""
        return array_ops.mirror(image, self.direction)

    def step(self):
        """One of the columns of the crop: all others commute with mirroring."""
        return self.direction, 1

    def columns(self, drawn):
        """1 for mirrored."""
        return (1.0 if drawn else 0.0,)

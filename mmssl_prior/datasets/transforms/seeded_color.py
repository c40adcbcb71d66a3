"""Seeded photometric augmentations: colour jitter, grey, blur, solarisation."""

import torchvision.transforms.functional as F
from mmpretrain.registry import TRANSFORMS
from PIL import ImageFilter

from ...errors import UserError
from .seeded_transform import SeededTransform, check_probability, check_range

__all__ = ['SeededColorJitter', 'SeededGaussianBlur', 'SeededGrayscale', 'SeededSolarize']


def _factor_range(name, value, center, low, high):
    """Range around ``center`` from a number, or the range itself."""
    if isinstance(value, (int, float)):
        if value < 0:
            raise UserError(f'{name} must not be negative, got {value}')
        value = (max(center - value, low) if center else -value, center + value)
    return check_range(name, value, low, high)


@TRANSFORMS.register_module()
class SeededColorJitter(SeededTransform):
    r"""Brightness, contrast, saturation and hue in random order.

    .. math::
        f_b \sim U(\max(0, 1 - b), 1 + b), \text{ likewise } f_c, f_s;
        \qquad f_h \sim U(-h, h)

    Order and distributions are torchvision's, as are the operations. Released
    MSN, at its strength 0.5: (0.4, 0.4, 0.4, 0.1) with probability 0.8.

    Args:
        brightness (float | Sequence[float]): b, or the range of the factor.
            Defaults to 0.
        contrast (float | Sequence[float]): Likewise. Defaults to 0.
        saturation (float | Sequence[float]): Likewise. Defaults to 0.
        hue (float | Sequence[float]): h in [0, 0.5], as a share of the colour
            circle, or the range. Defaults to 0.
        prob (float): Probability that anything is changed at all. Defaults
            to 1.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(self, brightness=0, contrast=0, saturation=0, hue=0, prob=1.0):
        inf = float('inf')
        self.brightness = _factor_range('brightness', brightness, 1, 0, inf)
        self.contrast = _factor_range('contrast', contrast, 1, 0, inf)
        self.saturation = _factor_range('saturation', saturation, 1, 0, inf)
        self.hue = _factor_range('hue', hue, 0, -0.5, 0.5)
        self.prob = check_probability('prob', prob)

    def apply(self, image, rng):
        """Jitter or not."""
        if rng.random() >= self.prob:
            return image
        operations = (
            (F.adjust_brightness, self.brightness, 1),
            (F.adjust_contrast, self.contrast, 1),
            (F.adjust_saturation, self.saturation, 1),
            (F.adjust_hue, self.hue, 0),
        )
        for k in rng.permutation(4):
            adjust, (low, high), neutral = operations[k]
            if not low == high == neutral:
                image = adjust(image, rng.uniform(low, high))
        return image


@TRANSFORMS.register_module()
class SeededGrayscale(SeededTransform):
    """Luma in all three channels, with a given probability.

    Args:
        prob (float): Probability. Defaults to 0.2.

    Raises:
        ValueError: If it is not in [0, 1].
    """

    def __init__(self, prob=0.2):
        self.prob = check_probability('prob', prob)

    def apply(self, image, rng):
        """Drop the colours or not."""
        if rng.random() >= self.prob:
            return image
        return F.rgb_to_grayscale(image, num_output_channels=3)


@TRANSFORMS.register_module()
class SeededGaussianBlur(SeededTransform):
    """Gaussian blur of random radius, with a given probability.

    The radius is the standard deviation in pixels of PIL's ``GaussianBlur``
    (box blurs in succession), as in released MSN.

    Args:
        radius_range (Sequence[float]): Range of the radius. Defaults to
            (0.1, 2.0).
        prob (float): Probability. Defaults to 0.5.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(self, radius_range=(0.1, 2.0), prob=0.5):
        self.radius_range = check_range('radius_range', radius_range, 0)
        self.prob = check_probability('prob', prob)

    def apply(self, image, rng):
        """Blur or not."""
        if rng.random() >= self.prob:
            return image
        radius = rng.uniform(*self.radius_range)
        return image.filter(ImageFilter.GaussianBlur(radius))


@TRANSFORMS.register_module()
class SeededSolarize(SeededTransform):
    """Invert all values from a threshold on, with a given probability.

    Args:
        thr (int): Threshold. Defaults to 128.
        prob (float): Probability. Defaults to 0.2.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(self, thr=128, prob=0.2):
        if not 0 <= thr <= 256:
            raise UserError(f'thr must lie in [0, 256], got {thr}')
        self.thr = thr
        self.prob = check_probability('prob', prob)

    def apply(self, image, rng):
        """Solarise or not."""
        if rng.random() >= self.prob:
            return image
        return F.solarize(image, self.thr)

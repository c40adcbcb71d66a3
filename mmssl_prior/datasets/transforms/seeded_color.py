"""Seeded photometric augmentations: colour jitter, grey, blur, solarisation."""

import torchvision.transforms.functional as F
from mmpretrain.registry import TRANSFORMS
from PIL import ImageFilter

from ...errors import UserError
from ...functional import box_blur_taps
from . import array_ops
from .seeded_transform import DrawnTransform, check_probability, check_range

__all__ = ['SeededColorJitter', 'SeededGaussianBlur', 'SeededGrayscale', 'SeededSolarize']


HUE = 3
NEUTRAL = (1, 1, 1, 0)  # brightness, contrast, saturation, hue
ON_ARRAYS = (
    array_ops.adjust_brightness,
    array_ops.adjust_contrast,
    array_ops.adjust_saturation,
    array_ops.adjust_hue,
)
# With what the first three blend: shares of the luma and of its mean.
BLENDS = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0))
NO_BLEND = (1.0, 0.0, 0.0)


def _factor_range(name, value, center, low, high):
    """Range around ``center`` from a number, or the range itself."""
    if isinstance(value, (int, float)):
        if value < 0:
            raise UserError(f'{name} must not be negative, got {value}')
        value = (max(center - value, low) if center else -value, center + value)
    return check_range(name, value, low, high)


@TRANSFORMS.register_module()
class SeededColorJitter(DrawnTransform):
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

    def draw(self, width, height, rng):
        """Numbers of the operations in order, each with its factor."""
        if rng.random() >= self.prob:
            return None
        ranges = (self.brightness, self.contrast, self.saturation, self.hue)
        drawn = []
        for k in rng.permutation(4):
            low, high = ranges[k]
            if not low == high == NEUTRAL[k]:
                drawn.append((int(k), rng.uniform(low, high)))
        return tuple(drawn)

    def render(self, image, drawn):
        """Jitter a PIL image."""
        adjust = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
        for k, factor in drawn:
            image = adjust[k](image, factor)
        return image

    def render_array(self, image, drawn):
        """Jitter an array."""
        for k, factor in drawn:
            image = ON_ARRAYS[k](image, factor)
        return image

    def step(self):
        """With or without hue."""
        return 'jitter', 9 if self.hue == (0, 0) else 19

    def columns(self, drawn):
        """Three blends, the shift of the hue, three blends; what is not drawn is neutral."""
        before: list[tuple] = []
        after: list[tuple] = []
        blends, shift = before, 0.0
        for k, factor in drawn or ():
            if k == HUE:
                blends, shift = after, factor
            else:
                blends.append((factor, *BLENDS[k]))
        before += [NO_BLEND] * (3 - len(before))
        if self.step()[1] == 9:
            return sum(before, ())
        after += [NO_BLEND] * (3 - len(after))
        return (*sum(before, ()), shift, *sum(after, ()))


@TRANSFORMS.register_module()
class SeededGrayscale(DrawnTransform):
    """Luma in all three channels, with a given probability.

    Args:
        prob (float): Probability. Defaults to 0.2.

    Raises:
        ValueError: If it is not in [0, 1].
    """

    def __init__(self, prob=0.2):
        self.prob = check_probability('prob', prob)

    def draw(self, width, height, rng):
        """Whether to drop the colours."""
        return True if rng.random() < self.prob else None

    def render(self, image, drawn):
        """Grey PIL image."""
        return F.rgb_to_grayscale(image, num_output_channels=3)

    def render_array(self, image, drawn):
        """Grey array."""
        return array_ops.grayscale(image)

    def step(self):
        """One column."""
        return 'grayscale', 1

    def columns(self, drawn):
        """1 for grey."""
        return (1.0 if drawn else 0.0,)


@TRANSFORMS.register_module()
class SeededGaussianBlur(DrawnTransform):
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

    def draw(self, width, height, rng):
        """The radius."""
        return rng.uniform(*self.radius_range) if rng.random() < self.prob else None

    def render(self, image, drawn):
        """Blur a PIL image."""
        return image.filter(ImageFilter.GaussianBlur(drawn))

    def render_array(self, image, drawn):
        """Blur an array."""
        return array_ops.blur(image, drawn)

    def step(self):
        """As many taps as the largest radius needs."""
        return 'blur', len(box_blur_taps(self.radius_range[1]))

    def columns(self, drawn):
        """The taps of the filter."""
        return box_blur_taps(drawn or 0.0, self.step()[1] // 2)


@TRANSFORMS.register_module()
class SeededSolarize(DrawnTransform):
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

    def draw(self, width, height, rng):
        """The threshold."""
        return self.thr if rng.random() < self.prob else None

    def render(self, image, drawn):
        """Solarise a PIL image."""
        return F.solarize(image, drawn)

    def render_array(self, image, drawn):
        """Solarise an array."""
        return array_ops.solarize(image, drawn)

    def step(self):
        """One column."""
        return 'solarize', 1

    def columns(self, drawn):
        """The threshold; 256 inverts nothing."""
        return (256.0 if drawn is None else float(drawn),)

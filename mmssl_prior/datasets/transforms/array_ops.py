"""Augmentations of uint8 BGR arrays by OpenCV, and by torch where it resamples faster.

Each does what torchvision does to a PIL image, up to rounding; the array it
is given stays as it is. Blends round down, as PIL's do.
"""

import functools

import cv2
import numpy as np
import torch
import torch.nn.functional as F
import torchvision.transforms.functional as TF
from torchvision.transforms import InterpolationMode

from ...functional import box_blur_taps
from .pixels import array_to_pil, pil_to_array

__all__ = [
    'adjust_brightness',
    'adjust_contrast',
    'adjust_hue',
    'adjust_saturation',
    'blur',
    'crop_and_resize',
    'grayscale',
    'mirror',
    'reduce',
    'reduction',
    'solarize',
]

LUMA = np.array([0.114, 0.587, 0.299])  # of blue, green and red
# Makes OpenCV's rounding to the nearest round down. Half would leave whole values in doubt.
DOWN = -0.49
IDENTITY = np.arange(256)
# A crop of a reduced image has at least this many times the height and width of its view. The views
# then have 0.99 of the energy of the gradients that those of the whole image have.
MARGIN = 1.5
# Of those that torch has for uint8.
FAST = ('bilinear', 'bicubic')


def crop_and_resize(image, crop, size, interpolation='bilinear'):
    """Part of an image, resized with antialiasing.

    Args:
        image (np.ndarray): Shape (H, W, 3).
        crop (Sequence[int]): top, left, height, width.
        size (tuple[int]): (height, width) of the output.
        interpolation (str): A name of torchvision's.
    """
    top, left, height, width = crop
    if interpolation not in FAST:
        mode = InterpolationMode(interpolation)
        return pil_to_array(TF.resized_crop(array_to_pil(image), *crop, size, mode))
    # On contiguous pixels torch's vectorised kernels are a third faster, the copy included. The
    # strides must be those of channels_last, or the output is another, far slower copy away.
    part = image[top : top + height, left : left + width].copy()
    pixels = torch.from_numpy(part)[None].permute(0, 3, 1, 2)
    output = F.interpolate(pixels, size, mode=interpolation, antialias=True, align_corners=False)
    return np.ascontiguousarray(output.permute(0, 2, 3, 1)[0].numpy())


def reduction(spare):
    """Greatest of 8, 4, 2 and 1 by which crops may be reduced before they are resized.

    Args:
        spare (float): How many times as high and wide as its view a crop is at least.
    """
    return next((factor for factor in (8, 4, 2) if spare >= MARGIN * factor), 1)


def reduce(image, factor):
    """Means of squares of ``factor`` pixels; what fills no square is left out."""
    height, width = (side // factor for side in image.shape[:2])
    whole = image[: height * factor, : width * factor]
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)


def mirror(image, direction):
    """Mirror 'horizontal'ly or 'vertical'ly."""
    return cv2.flip(image, 1 if direction == 'horizontal' else 0)


def _affine(image, factor, mixed, offset):
    """factor x + mixed . x + offset in each channel, cut off at 0 and 255."""
    matrix = np.empty((3, 4), np.float32)
    matrix[:, :3] = mixed
    matrix[:, 3] = offset + DOWN
    matrix[(0, 1, 2), (0, 1, 2)] += factor
    return cv2.transform(image, matrix)


def adjust_brightness(image, factor):
    """Blend with black."""
    return _affine(image, factor, 0, 0)


def adjust_contrast(image, factor):
    """Blend with the mean luma, a whole number."""
    mean = int(np.dot(cv2.mean(image)[:3], LUMA) + 0.5)
    return _affine(image, factor, 0, (1 - factor) * mean)


def adjust_saturation(image, factor):
    """Blend with the luma."""
    return _affine(image, factor, (1 - factor) * LUMA, 0)


def adjust_hue(image, shift):
    """Turn the hue by a share of the circle, in 256 steps as in PIL."""
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL)
    # All channels at once, which is vectorised, unlike a slice of one; uint8 wraps around.
    hsv += _ones_at_hue(*image.shape[:2]) * np.uint8(int(shift * 255) % 256)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR_FULL)


@functools.lru_cache(maxsize=4)
def _ones_at_hue(height, width):
    return np.tile(np.array([1, 0, 0], np.uint8), (height, width, 1))


def grayscale(image):
    """Luma in all three channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def blur(image, radius):
    """PIL's Gaussian blur: its three box filters as one."""
    taps = box_blur_taps(radius)
    return cv2.sepFilter2D(image, -1, taps, taps, borderType=cv2.BORDER_REPLICATE)


def solarize(image, threshold):
    """Invert values from the threshold on."""
    table = np.where(threshold <= IDENTITY, 255 - IDENTITY, IDENTITY)
    return cv2.LUT(image, table.astype(np.uint8))

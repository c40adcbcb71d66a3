"""Transforms: from a file to views that can be drawn again."""

from .load_image import LoadImage, UndecodableImage
from .seeded_color import SeededColorJitter, SeededGaussianBlur, SeededGrayscale, SeededSolarize
from .seeded_crop import SeededFlip, SeededRandomResizedCrop
from .seeded_masks import SeededBlockMask, SeededRandomMask
from .seeded_multi_view import SeededMultiView
from .seeded_transform import SeededTransform

__all__ = [
    'LoadImage',
    'SeededBlockMask',
    'SeededColorJitter',
    'SeededFlip',
    'SeededGaussianBlur',
    'SeededGrayscale',
    'SeededMultiView',
    'SeededRandomMask',
    'SeededRandomResizedCrop',
    'SeededSolarize',
    'SeededTransform',
    'UndecodableImage',
]

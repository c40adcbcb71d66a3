"""Transforms: from a file to views that can be drawn again."""

from .encoded_image import EncodedImage
from .load_image import LoadImage, UndecodableImage
from .seeded_color import SeededColorJitter, SeededGaussianBlur, SeededGrayscale, SeededSolarize
from .seeded_crop import SeededFlip, SeededRandomResizedCrop
from .seeded_masks import SeededBlockMask, SeededRandomMask
from .seeded_multi_view import SeededMultiView
from .seeded_transform import DrawnTransform, SeededTransform
from .view_source import ViewSource

__all__ = [
    'DrawnTransform',
    'EncodedImage',
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
    'ViewSource',
]

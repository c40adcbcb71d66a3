"""Data: datasets, the transforms of their samples and the samplers."""

from .digits_lt import DigitsLT
from .image_folder import ImageFolder
from .inaturalist2018 import INaturalist2018
from .long_tail import long_tailed_counts, power_law_counts
from .patterns_lt import PatternsLT
from .samplers import EpochIndex, EpochSampler, index_generator
from .skip_undecodable import SkipUndecodable
from .transforms import (
    LoadImage,
    SeededColorJitter,
    SeededFlip,
    SeededGaussianBlur,
    SeededGrayscale,
    SeededMultiView,
    SeededRandomResizedCrop,
    SeededSolarize,
    SeededTransform,
    UndecodableImage,
)

__all__ = [
    'DigitsLT',
    'EpochIndex',
    'EpochSampler',
    'INaturalist2018',
    'ImageFolder',
    'LoadImage',
    'PatternsLT',
    'SeededColorJitter',
    'SeededFlip',
    'SeededGaussianBlur',
    'SeededGrayscale',
    'SeededMultiView',
    'SeededRandomResizedCrop',
    'SeededSolarize',
    'SeededTransform',
    'SkipUndecodable',
    'UndecodableImage',
    'index_generator',
    'long_tailed_counts',
    'power_law_counts',
]

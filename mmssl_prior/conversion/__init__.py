"""Encoders of other libraries to this one's, and back."""

from .encoder_weights import EncoderWeights, FeatureModel
from .licences import MSN_LICENCE
from .read import read_encoder
from .vit_layout import ViTSizes
from .write import FORMATS, Written, write_encoder

__all__ = [
    'FORMATS',
    'EncoderWeights',
    'FeatureModel',
    'MSN_LICENCE',
    'ViTSizes',
    'Written',
    'read_encoder',
    'write_encoder',
]

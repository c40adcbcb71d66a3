"""Samplers: which image comes when."""

from .class_batch_sampler import ClassBatchSampler
from .class_imbalanced_batch_sampler import ClassImbalancedBatchSampler
from .class_index import ClassIndex
from .epoch_index import EpochIndex, index_generator
from .epoch_sampler import EpochSampler
from .power_law_batch_sampler import PowerLawBatchSampler
from .resampling_batch_sampler import ResamplingBatchSampler
from .weighted_class_batch_sampler import WeightedClassBatchSampler

__all__ = [
    'ClassBatchSampler',
    'ClassImbalancedBatchSampler',
    'ClassIndex',
    'EpochIndex',
    'EpochSampler',
    'PowerLawBatchSampler',
    'ResamplingBatchSampler',
    'WeightedClassBatchSampler',
    'index_generator',
]

"""Samplers: which image comes when."""

from .epoch_index import EpochIndex, index_generator
from .epoch_sampler import EpochSampler

__all__ = ['EpochIndex', 'EpochSampler', 'index_generator']

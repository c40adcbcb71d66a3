"""What features are worth: k-NN, linear probe, prototype usage."""

from .accuracy import class_mean_top1, top1
from .features import Features, evaluation_mode, extract_features
from .knn import knn_classify, nearest_neighbors
from .linear_probe import LinearProbe, linear_probe
from .prototype_usage import PrototypeUsage, prototype_usage

__all__ = [
    'Features',
    'LinearProbe',
    'PrototypeUsage',
    'class_mean_top1',
    'evaluation_mode',
    'extract_features',
    'knn_classify',
    'linear_probe',
    'nearest_neighbors',
    'prototype_usage',
    'top1',
]

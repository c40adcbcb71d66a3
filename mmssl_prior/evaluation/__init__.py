"""What features are worth: k-NN, linear probe, prototype usage."""

from .accuracy import ShotGroups, class_mean_top1, shot_group_top1, top1
from .features import Features, evaluation_mode, extract_features
from .knn import knn_classify, nearest_neighbors
from .linear_probe import LinearProbe, linear_probe
from .logistic_regression import LogisticRegression
from .low_shot import LowShot, low_shot, low_shot_features, read_subset, sample_subset
from .prototype_usage import PrototypeUsage, prototype_usage
from .representation import alignment, covariance_spectrum, rankme, uniformity

__all__ = [
    'Features',
    'LinearProbe',
    'LogisticRegression',
    'LowShot',
    'PrototypeUsage',
    'ShotGroups',
    'alignment',
    'class_mean_top1',
    'covariance_spectrum',
    'evaluation_mode',
    'extract_features',
    'knn_classify',
    'linear_probe',
    'low_shot',
    'low_shot_features',
    'nearest_neighbors',
    'prototype_usage',
    'rankme',
    'read_subset',
    'sample_subset',
    'shot_group_top1',
    'top1',
    'uniformity',
]

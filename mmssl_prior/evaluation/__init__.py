"""What features are worth: k-NN, linear probe, prototype usage."""

from .accuracy import ShotGroups, class_mean_top1, shot_group_top1, top1
from .feature_store import FeatureStore
from .features import Features, evaluation_mode, extract_features
from .knn import knn_classify, nearest_neighbors
from .linear_probe import LinearProbeScores, linear_probe
from .logistic_regression import LogisticRegression
from .low_shot import (
    LowShot,
    low_shot,
    low_shot_features,
    read_subset,
    read_subsets,
    sample_subset,
)
from .probe_accuracy import HeadScores, ProbeAccuracy
from .probe_features import ProbeRecipe, ProbeScores, probe_features
from .prototype_usage import PrototypeUsage, prototype_usage
from .representation import alignment, covariance_spectrum, effective_rank, rankme, uniformity

__all__ = [
    'FeatureStore',
    'Features',
    'HeadScores',
    'LinearProbeScores',
    'LogisticRegression',
    'LowShot',
    'ProbeAccuracy',
    'ProbeRecipe',
    'ProbeScores',
    'PrototypeUsage',
    'ShotGroups',
    'alignment',
    'class_mean_top1',
    'covariance_spectrum',
    'effective_rank',
    'evaluation_mode',
    'extract_features',
    'knn_classify',
    'linear_probe',
    'low_shot',
    'low_shot_features',
    'nearest_neighbors',
    'probe_features',
    'prototype_usage',
    'rankme',
    'read_subset',
    'read_subsets',
    'sample_subset',
    'shot_group_top1',
    'top1',
    'uniformity',
]

"""What a model clustered, and which prior fits the data."""

from .agreement import Agreement, agreement
from .analyze import analyze
from .analyzed_data import AnalyzedData, open_data
from .class_attention import class_attention
from .cluster_sizes import (
    Clusters,
    ClusterSizes,
    Estimator,
    cluster_sizes,
    estimators,
    principal_components,
)
from .clusters import KMeansClusters, effective_number, gini, kmeans_clusters
from .count_files import read_counts
from .frequency_groups import FrequencyGroups, frequency_groups, group_shares
from .health import HealthRecord, find_failures, scalars
from .health_figure import draw_health
from .health_measures import (
    FeatureMeasures,
    PredictionSums,
    PrototypeMeasures,
    UsageMeasures,
    expected_distinct,
    measure_features,
    measure_prototypes,
    measure_usage,
    relative_distance,
    sum_predictions,
    total_norm,
)
from .image_source import named_dataset, steps_for, subsample
from .measure import Gathered, measure_model
from .pixel_encoder import PixelEncoder
from .prior_fit import HalfFit, LawFit, PriorFit, Scored, fit_law, fit_prior, score_laws
from .prior_kmeans import PriorKMeans, prior_kmeans, prior_kmeans_from
from .prior_plots import plot_class_counts, plot_cluster_sizes
from .prior_suggestion import Suggestion, suggest_from_clusters, suggest_from_counts
from .prototype_spread import fitted_exponent, merged_classes, spread_classes, spread_exponent
from .rank_laws import EXPONENTIAL, LAWS, POWER_LAW, RankLaw
from .shown import Settings, Shown

__all__ = [
    'PriorKMeans',
    'prior_kmeans',
    'prior_kmeans_from',
    'EXPONENTIAL',
    'LAWS',
    'POWER_LAW',
    'RankLaw',
    'fitted_exponent',
    'merged_classes',
    'spread_classes',
    'spread_exponent',
    'Suggestion',
    'suggest_from_clusters',
    'suggest_from_counts',
    'plot_class_counts',
    'plot_cluster_sizes',
    'HalfFit',
    'LawFit',
    'PriorFit',
    'Scored',
    'fit_law',
    'fit_prior',
    'score_laws',
    'PixelEncoder',
    'named_dataset',
    'steps_for',
    'subsample',
    'read_counts',
    'ClusterSizes',
    'Clusters',
    'Estimator',
    'cluster_sizes',
    'estimators',
    'principal_components',
    'Agreement',
    'AnalyzedData',
    'FeatureMeasures',
    'FrequencyGroups',
    'Gathered',
    'HealthRecord',
    'KMeansClusters',
    'PredictionSums',
    'PrototypeMeasures',
    'Settings',
    'Shown',
    'UsageMeasures',
    'agreement',
    'analyze',
    'class_attention',
    'draw_health',
    'effective_number',
    'expected_distinct',
    'find_failures',
    'frequency_groups',
    'gini',
    'group_shares',
    'kmeans_clusters',
    'measure_features',
    'measure_model',
    'measure_prototypes',
    'measure_usage',
    'open_data',
    'relative_distance',
    'scalars',
    'sum_predictions',
    'total_norm',
]

"""Data: datasets, the transforms of their samples and the samplers."""

from .cifar100_archive import CIFAR100Archive
from .clevr_count import ClevrCount
from .clevr_dist import ClevrDist
from .clevr_scenes import ClevrScenes
from .digits_lt import DigitsLT
from .folder_scan import FolderScan, scan_folder
from .image_folder import ImageFolder
from .image_headers import HeaderSummary, summarise_headers
from .imagenet1k import ImageNet1K
from .inaturalist2018 import INaturalist2018
from .kitti_dist import KittiDist
from .labels import dataset_labels
from .long_tail import (
    exponential_profile,
    long_tailed_counts,
    pareto_profile,
    power_law_counts,
    power_law_profile,
)
from .long_tail_subset import LongTailSubset
from .patterns_lt import PatternsLT
from .places205_csv import Places205CSV
from .samplers import (
    ClassBatchSampler,
    ClassImbalancedBatchSampler,
    ClassIndex,
    EpochIndex,
    EpochSampler,
    PowerLawBatchSampler,
    ResamplingBatchSampler,
    WeightedClassBatchSampler,
    index_generator,
)
from .scenes_lt import ScenesLT
from .seeded_class_balanced_dataset import SeededClassBalancedDataset
from .skip_undecodable import SkipUndecodable
from .transforms import (
    DrawnTransform,
    EncodedImage,
    LoadImage,
    SeededBlockMask,
    SeededColorJitter,
    SeededFlip,
    SeededGaussianBlur,
    SeededGrayscale,
    SeededMultiView,
    SeededRandomMask,
    SeededRandomResizedCrop,
    SeededSolarize,
    SeededTransform,
    UndecodableImage,
    ViewSource,
)

__all__ = [
    'CIFAR100Archive',
    'ClevrCount',
    'ClevrDist',
    'ClevrScenes',
    'DigitsLT',
    'DrawnTransform',
    'EncodedImage',
    'ClassBatchSampler',
    'ClassImbalancedBatchSampler',
    'ClassIndex',
    'EpochIndex',
    'EpochSampler',
    'FolderScan',
    'HeaderSummary',
    'INaturalist2018',
    'ImageFolder',
    'ImageNet1K',
    'KittiDist',
    'LoadImage',
    'LongTailSubset',
    'PatternsLT',
    'PowerLawBatchSampler',
    'ResamplingBatchSampler',
    'SeededBlockMask',
    'SeededClassBalancedDataset',
    'Places205CSV',
    'ScenesLT',
    'SeededColorJitter',
    'SeededFlip',
    'SeededGaussianBlur',
    'SeededGrayscale',
    'SeededMultiView',
    'SeededRandomMask',
    'SeededRandomResizedCrop',
    'SeededSolarize',
    'SeededTransform',
    'SkipUndecodable',
    'UndecodableImage',
    'ViewSource',
    'WeightedClassBatchSampler',
    'index_generator',
    'dataset_labels',
    'exponential_profile',
    'long_tailed_counts',
    'pareto_profile',
    'power_law_counts',
    'power_law_profile',
    'scan_folder',
    'summarise_headers',
]

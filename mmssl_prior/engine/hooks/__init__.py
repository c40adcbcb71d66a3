from .data_summary_hook import DataSummaryHook
from .fit_prior_hook import FitPriorHook
from .seeded_views_hook import SeededViewsHook
from .swav_schedule_hook import SwAVScheduleHook
from .target_network_hook import TargetNetworkHook, ema_momentum
from .undecodable_images_hook import UndecodableImagesHook

__all__ = [
    'DataSummaryHook',
    'FitPriorHook',
    'SeededViewsHook',
    'SwAVScheduleHook',
    'TargetNetworkHook',
    'UndecodableImagesHook',
    'ema_momentum',
]

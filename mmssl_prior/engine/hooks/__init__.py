from .collapse_monitor_hook import CollapseMonitorHook
from .data_summary_hook import DataSummaryHook
from .deferred_runtime_info_hook import DeferredRuntimeInfoHook
from .fit_prior_hook import FitPriorHook
from .resumable_checkpoint_hook import ResumableCheckpointHook
from .seeded_views_hook import SeededViewsHook
from .speed_hook import SpeedHook
from .swav_schedule_hook import SwAVScheduleHook
from .target_network_hook import TargetNetworkHook, ema_momentum
from .undecodable_images_hook import UndecodableImagesHook

__all__ = [
    'CollapseMonitorHook',
    'DataSummaryHook',
    'DeferredRuntimeInfoHook',
    'FitPriorHook',
    'ResumableCheckpointHook',
    'SeededViewsHook',
    'SpeedHook',
    'SwAVScheduleHook',
    'TargetNetworkHook',
    'UndecodableImagesHook',
    'ema_momentum',
]

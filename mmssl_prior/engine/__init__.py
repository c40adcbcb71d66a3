"""What the Runner drives: hooks, loops and optimizers."""

from .hooks import (
    CollapseMonitorHook,
    DataSummaryHook,
    DeferredRuntimeInfoHook,
    FitPriorHook,
    ResumableCheckpointHook,
    SeededViewsHook,
    SpeedHook,
    SwAVScheduleHook,
    TargetNetworkHook,
    UndecodableImagesHook,
)
from .loops import KNNValLoop, ResumableTrainLoop, StepBudgetTrainLoop
from .optimizers import (
    GroupClipAmpOptimWrapper,
    GroupClipOptimWrapper,
    LayerwiseSGD,
    LinearProbeOptimWrapperConstructor,
    MSNOptimWrapperConstructor,
)
from .schedulers import WarmupCosineParamScheduler

__all__ = [
    'CollapseMonitorHook',
    'DataSummaryHook',
    'DeferredRuntimeInfoHook',
    'FitPriorHook',
    'GroupClipAmpOptimWrapper',
    'GroupClipOptimWrapper',
    'KNNValLoop',
    'LayerwiseSGD',
    'LinearProbeOptimWrapperConstructor',
    'MSNOptimWrapperConstructor',
    'ResumableCheckpointHook',
    'ResumableTrainLoop',
    'SeededViewsHook',
    'SpeedHook',
    'StepBudgetTrainLoop',
    'SwAVScheduleHook',
    'TargetNetworkHook',
    'UndecodableImagesHook',
    'WarmupCosineParamScheduler',
]

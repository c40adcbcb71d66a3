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
from .memory_budget import NetworkSize, activation_bytes, state_bytes, working_bytes
from .optimizers import (
    GroupClipAmpOptimWrapper,
    GroupClipOptimWrapper,
    LayerwiseSGD,
    LinearProbeOptimWrapperConstructor,
    MSNOptimWrapperConstructor,
)
from .schedulers import WarmupCosineParamScheduler
from .sharded_runner import ShardedRunner

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
    'NetworkSize',
    'ResumableCheckpointHook',
    'ResumableTrainLoop',
    'SeededViewsHook',
    'ShardedRunner',
    'SpeedHook',
    'StepBudgetTrainLoop',
    'SwAVScheduleHook',
    'TargetNetworkHook',
    'UndecodableImagesHook',
    'WarmupCosineParamScheduler',
    'activation_bytes',
    'state_bytes',
    'working_bytes',
]

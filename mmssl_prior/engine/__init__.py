"""What the Runner drives: hooks, loops and optimizers."""

from .hooks import (
    DataSummaryHook,
    FitPriorHook,
    SeededViewsHook,
    SwAVScheduleHook,
    TargetNetworkHook,
    UndecodableImagesHook,
)
from .loops import KNNValLoop, StepBudgetTrainLoop
from .optimizers import (
    GroupClipAmpOptimWrapper,
    GroupClipOptimWrapper,
    LayerwiseSGD,
    LinearProbeOptimWrapperConstructor,
    MSNOptimWrapperConstructor,
)
from .schedulers import WarmupCosineParamScheduler

__all__ = [
    'DataSummaryHook',
    'FitPriorHook',
    'GroupClipAmpOptimWrapper',
    'GroupClipOptimWrapper',
    'KNNValLoop',
    'LayerwiseSGD',
    'LinearProbeOptimWrapperConstructor',
    'MSNOptimWrapperConstructor',
    'SeededViewsHook',
    'StepBudgetTrainLoop',
    'SwAVScheduleHook',
    'TargetNetworkHook',
    'UndecodableImagesHook',
    'WarmupCosineParamScheduler',
]

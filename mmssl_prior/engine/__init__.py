"""What the Runner drives: hooks, loops and optimizers."""

from .hooks import FitPriorHook, SeededViewsHook, TargetNetworkHook, UndecodableImagesHook
from .loops import KNNValLoop
from .optimizers import GroupClipAmpOptimWrapper, GroupClipOptimWrapper, MSNOptimWrapperConstructor

__all__ = [
    'FitPriorHook',
    'GroupClipAmpOptimWrapper',
    'GroupClipOptimWrapper',
    'KNNValLoop',
    'MSNOptimWrapperConstructor',
    'SeededViewsHook',
    'TargetNetworkHook',
    'UndecodableImagesHook',
]

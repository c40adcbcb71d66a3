from .group_clip_optim_wrapper import GroupClipAmpOptimWrapper, GroupClipOptimWrapper
from .layerwise_sgd import LayerwiseSGD
from .linear_probe_optim_wrapper_constructor import LinearProbeOptimWrapperConstructor
from .msn_optim_wrapper_constructor import MSNOptimWrapperConstructor

__all__ = [
    'GroupClipAmpOptimWrapper',
    'GroupClipOptimWrapper',
    'LayerwiseSGD',
    'LinearProbeOptimWrapperConstructor',
    'MSNOptimWrapperConstructor',
]

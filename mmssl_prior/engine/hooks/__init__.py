from .fit_prior_hook import FitPriorHook
from .seeded_views_hook import SeededViewsHook
from .target_network_hook import TargetNetworkHook, ema_momentum
from .undecodable_images_hook import UndecodableImagesHook

__all__ = [
    'FitPriorHook',
    'SeededViewsHook',
    'TargetNetworkHook',
    'UndecodableImagesHook',
    'ema_momentum',
]

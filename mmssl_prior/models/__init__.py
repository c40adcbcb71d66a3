from .backbones import ConvStem, MSNViT
from .heads import PMSNHead
from .layers import PortableSyncBatchNorm, Sinkhorn
from .losses import PriorMatchingLoss
from .necks import MSNNeck
from .priors import EmpiricalPrior, PowerLawPrior, Prior, UniformPrior
from .selfsup import MSN

__all__ = [
    'ConvStem',
    'EmpiricalPrior',
    'MSN',
    'MSNNeck',
    'MSNViT',
    'PMSNHead',
    'PortableSyncBatchNorm',
    'PowerLawPrior',
    'Prior',
    'PriorMatchingLoss',
    'Sinkhorn',
    'UniformPrior',
]

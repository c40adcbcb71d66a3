from .backbones import ConvStem, Data2VecViT, MSNViT, SeededMAEViT, TIMMViT
from .classifiers import LinearProbe, ProbeHead, ProbeHeads, trunk_features
from .data_preprocessors import MultiViewDataPreprocessor
from .heads import Data2VecHead, EmbeddingHead, PMSNHead, PriorSwAVHead, PrototypeHead
from .layers import PortableSyncBatchNorm, Sinkhorn
from .losses import MaskedRegressionLoss, NTXentLoss, PriorMatchingLoss, VICRegLoss
from .necks import MSNNeck, TokenPool
from .priors import EmpiricalPrior, PowerLawPrior, Prior, UniformPrior
from .selfsup import (
    MSN,
    Data2Vec,
    GlobalSimCLR,
    JointEmbedding,
    PriorSwAV,
    SeededMAE,
    VICReg,
)

__all__ = [
    'ConvStem',
    'Data2Vec',
    'Data2VecHead',
    'Data2VecViT',
    'EmbeddingHead',
    'EmpiricalPrior',
    'GlobalSimCLR',
    'JointEmbedding',
    'LinearProbe',
    'MSN',
    'MSNNeck',
    'MSNViT',
    'MaskedRegressionLoss',
    'MultiViewDataPreprocessor',
    'NTXentLoss',
    'PMSNHead',
    'PortableSyncBatchNorm',
    'PowerLawPrior',
    'Prior',
    'PriorMatchingLoss',
    'PriorSwAV',
    'PriorSwAVHead',
    'ProbeHead',
    'ProbeHeads',
    'PrototypeHead',
    'SeededMAE',
    'SeededMAEViT',
    'Sinkhorn',
    'TIMMViT',
    'TokenPool',
    'UniformPrior',
    'VICReg',
    'VICRegLoss',
    'trunk_features',
]

from .data2vec import Data2Vec
from .global_simclr import GlobalSimCLR
from .joint_embedding import JointEmbedding
from .msn import MSN
from .prior_swav import PriorSwAV
from .seeded_mae import SeededMAE
from .vicreg import VICReg

__all__ = [
    'Data2Vec',
    'GlobalSimCLR',
    'JointEmbedding',
    'MSN',
    'PriorSwAV',
    'SeededMAE',
    'VICReg',
]

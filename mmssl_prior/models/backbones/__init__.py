from .conv_stem import ConvStem
from .data2vec_vit import Data2VecViT
from .msn_vit import MSNViT
from .seeded_mae_vit import SeededMAEViT
from .timm_vit import TIMMViT

__all__ = ['ConvStem', 'Data2VecViT', 'MSNViT', 'SeededMAEViT', 'TIMMViT']

from .conv_stem import ConvStem
from .msn_vit import MSNViT

__all__ = ['ConvStem', 'MSNViT']

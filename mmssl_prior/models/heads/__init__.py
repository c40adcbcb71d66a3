from .data2vec_head import Data2VecHead
from .embedding_head import EmbeddingHead
from .pmsn_head import PMSNHead
from .prior_swav_head import PriorSwAVHead
from .prototype_head import PrototypeHead

__all__ = ['Data2VecHead', 'EmbeddingHead', 'PMSNHead', 'PriorSwAVHead', 'PrototypeHead']

from .msn_neck import MSNNeck
from .token_pool import TokenPool

__all__ = ['MSNNeck', 'TokenPool']

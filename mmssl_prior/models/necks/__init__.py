from .msn_neck import MSNNeck

__all__ = ['MSNNeck']

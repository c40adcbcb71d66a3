from .msn import MSN

__all__ = ['MSN']

from .pmsn_head import PMSNHead

__all__ = ['PMSNHead']

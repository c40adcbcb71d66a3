from .portable_sync_batch_norm import PortableSyncBatchNorm
from .sinkhorn import Sinkhorn

__all__ = ['PortableSyncBatchNorm', 'Sinkhorn']

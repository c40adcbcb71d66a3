from typing import Any

from torch.utils.data import DataLoader

__all__ = ['local_batch_size']


def local_batch_size(loader: DataLoader) -> int:
    """Number of images in a batch of one rank.

    A loader with a batch sampler has no ``batch_size`` of its own.

    Example:
        >>> from torch.utils.data import BatchSampler
        >>> sampler = BatchSampler(range(9), 3, drop_last=True)
        >>> loader = DataLoader(range(9), batch_sampler=sampler)
        >>> loader.batch_size, local_batch_size(loader)
        (None, 3)
    """
    sampler: Any = loader.batch_sampler
    return getattr(sampler, 'batch_size', 1) if loader.batch_size is None else loader.batch_size

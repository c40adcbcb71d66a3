"""Sampler whose indices carry their seed and epoch."""

from mmengine.dataset import DefaultSampler
from mmpretrain.registry import DATA_SAMPLERS

from .epoch_index import EpochIndex

__all__ = ['EpochSampler']


@DATA_SAMPLERS.register_module()
class EpochSampler(DefaultSampler):
    """MMEngine's ``DefaultSampler``, with the epoch in every index.

    Order, division among ranks and length are those of ``DefaultSampler``;
    what it yields are :class:`EpochIndex`, so that the dataset, in whichever
    worker, can derive a sample's views from (seed, epoch, index).

    Args:
        dataset (Sized): The dataset.
        shuffle (bool): Whether to shuffle. Defaults to True.
        seed (int, optional): Seed of the order and of the views, the same on
            all ranks; MMEngine's Runner passes its own. None draws one and
            shares it among the ranks. Defaults to None.
        round_up (bool): Whether to repeat samples until the ranks have
            equally many. Defaults to True.

    >>> sampler = EpochSampler(range(3), shuffle=False, seed=5)
    >>> sampler.set_epoch(2)
    >>> list(sampler)[1]
    EpochIndex(1, seed=5, epoch=2, origin=1)
    """

    def __iter__(self):
        epoch = self.epoch  # the generator below may outlive the epoch
        return (EpochIndex(i, self.seed, epoch) for i in super().__iter__())

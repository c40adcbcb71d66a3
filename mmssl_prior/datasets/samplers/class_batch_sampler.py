"""What all samplers that choose classes have in common."""

import numpy as np
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from ...errors import UserError
from ..labels import dataset_labels
from .class_index import ClassIndex

__all__ = ['ClassBatchSampler']


class ClassBatchSampler(Sampler):
    """Base of batch samplers that choose classes first, then their images.

    MMEngine's Runner builds one from ``batch_sampler`` of a data loader and
    gives it the ``sampler`` beside. Of that it takes dataset, seed and epoch,
    none of its indices; MMEngine goes on to set the epoch there. What batch
    number t since the training began holds is a function of (seed, t): a
    resumed run needs nothing but its number. The indices are
    :class:`ClassIndex`, for seeded views and stand-ins of the same class.

    An epoch has :math:`\\lfloor N / B \\rfloor` batches of the N images, with
    B the global batch, the local one times the number of ranks.

    Subclasses implement :meth:`batches`.

    Args:
        sampler (Sampler): An ``EpochSampler`` or ``DefaultSampler``.
        batch_size (int): Local batch size.

    Raises:
        UserError: If the sampler has no seed and epoch, the dataset no labels
            or fewer images than a global batch.
    """

    def __init__(self, sampler, batch_size):
        if not all(hasattr(sampler, name) for name in ('dataset', 'seed', 'epoch')):
            raise UserError(
                f'{self.name}: {type(sampler).__name__} has no seed and epoch to go by; use '
                "sampler=dict(type='EpochSampler', shuffle=True) beside batch_sampler"
            )
        self.sampler = sampler
        self.batch_size = self._integer('batch_size', batch_size, 1)
        self.rank, self.world_size = get_dist_info()
        self.global_batch_size = self.batch_size * self.world_size
        labels = dataset_labels(sampler.dataset)
        sizes = np.bincount(labels)
        self.classes = np.flatnonzero(sizes)
        self.sizes = sizes[self.classes]
        self._images = np.argsort(labels, kind='stable')
        self._begins = np.cumsum(self.sizes) - self.sizes
        self._skipped = 0
        self._length = self._batches_per_epoch()
        if not self._length:
            raise UserError(
                f'{self.name}: {len(labels)} images are fewer than one global batch of '
                f'{self._shape()}: lower train_dataloader.batch_size'
            )

    @property
    def name(self):
        """Name of the class, for messages."""
        return type(self).__name__

    def _batches_per_epoch(self):
        return len(self._images) // self.global_batch_size

    def _shape(self):
        return f'{self.global_batch_size} ({self.world_size} x {self.batch_size})'

    def _integer(self, name, value, low):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
            raise UserError(f'{self.name}: {name} must be an integer >= {low}, got {value!r}')
        return int(value)

    def __len__(self):
        """Number of batches in an epoch."""
        return self._length

    def skip(self, num_batches):
        """Leave out the first batches of the training.

        Nothing is drawn for them, let alone loaded: what follows is what
        would have followed them.

        :class:`ResumableTrainLoop` calls it; MMEngine's ``IterBasedTrainLoop``
        looks for ``skip`` on other samplers alone, so that its resume goes
        through the batches gone by.

        Args:
            num_batches (int): Number of batches since the training began,
                not since the beginning of the epoch. Epochs that lie before
                are empty.
        """
        self._skipped = self._integer('num_batches', num_batches, 0)

    def __iter__(self):
        seed, epoch = int(self.sampler.seed), int(self.sampler.epoch)
        first = max(epoch * len(self), self._skipped)
        return self._indices(seed, epoch, first, (epoch + 1) * len(self))

    def _indices(self, seed, epoch, first, end):
        if first >= end:
            return
        for step, (images, places) in enumerate(self.batches(seed, first, end), first):
            draws = (step - epoch * len(self)) * self.global_batch_size + places
            yield ClassIndex.batch(images.tolist(), seed, epoch, draws.tolist())

    def images(self, numbers, members):
        """Indices of images in the dataset.

        Args:
            numbers (np.ndarray): Classes by their number among those that
                have images.
            members (list[np.ndarray]): Numbers of images within each of them.

        Returns:
            np.ndarray: One index for each image, class by class.
        """
        begins = np.repeat(self._begins[numbers], list(map(len, members)))
        return self._images[begins + np.concatenate(members)]

    def batches(self, seed, first, end):
        """Batches of this rank by their number since the training began.

        Args:
            seed (int): Seed.
            first (int): Number of the first batch to give.
            end (int): Number of the batch to stop before.

        Yields:
            tuple: Indices of the images and their places in the global batch,
            arrays of ``batch_size`` integers.
        """
        raise NotImplementedError

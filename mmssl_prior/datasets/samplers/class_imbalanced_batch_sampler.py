"""Mini-batches of exactly K classes."""

import numpy as np
from mmpretrain.registry import DATA_SAMPLERS

from ...errors import UserError
from .class_batch_sampler import ClassBatchSampler
from .deck import Rotation, keyed_generator

__all__ = ['ClassImbalancedBatchSampler']

CLASSES, IMAGES, SLOTS, ORDER = range(4)  # streams of random numbers


@DATA_SAMPLERS.register_module()
class ClassImbalancedBatchSampler(ClassBatchSampler):
    r"""Every global mini-batch holds exactly K classes in equal shares.

    .. math::
        n_{tc} \in \{\lfloor B / K \rfloor, \lceil B / K \rceil\}, \qquad
        \sum_c n_{tc} = B, \qquad |\{c : n_{tc} > 0\}| = K

    for the number :math:`n_{tc}` of images of class c in batch t and the
    global batch size B. Few classes make class-imbalanced batches, as many as
    there are balanced ones; the dataset stays as it is. Classes come from a
    permutation without replacement, and so do the images within a class: none
    comes again before all have come as often, over epochs too. A batch that
    ends one permutation and begins the next has no class and no image twice.

    **Small classes.** A class of fewer images than its share gives each of
    them :math:`\lfloor n_{tc} / size \rfloor` times or once more, so that the
    batch keeps its size and its K classes; no two of these have the same
    views. (The public sampler of the VISSL library refuses such data.)

    **Scope.** With ``scope='shared'`` all ranks draw from the same K classes,
    each rank an equal share (within one image) of each class; with
    ``scope='disjoint'`` each rank has its own :math:`K / W` classes on W
    ranks, as 64 ranks with 15 classes each make 960. No image is on two ranks
    in the same batch, unless its class is smaller than its share.

    Classes without images do not count. The epoch is not one of the dataset:
    classes are equally frequent, images are not.

    Args:
        sampler (Sampler): An ``EpochSampler``, by MMEngine's Runner.
        batch_size (int): Local batch size, by MMEngine's Runner.
        num_classes_per_batch (int): The number K.
        scope (str): 'shared' or 'disjoint'. Defaults to 'shared'.
        epoch (str): 'images' for epochs of :math:`\lfloor N / B \rfloor`
            batches, 'classes' for :math:`\lfloor C / K \rfloor`, once through
            the C classes. Defaults to 'images'.

    Raises:
        UserError: If there are fewer than K classes, the batch has no room
            for K, ranks cannot have equally many, the dataset is unlabelled
            or, with ``epoch='images'``, smaller than a global batch, or the
            inner sampler has no epoch.

    References:
        Assran et al., The Hidden Uniform Cluster Prior in Self-Supervised
        Learning, ICLR 2023.

    >>> from mmpretrain.datasets import BaseDataset
    >>> from mmssl_prior.datasets import EpochSampler
    >>> class Six(BaseDataset):
    ...     def load_data_list(self):
    ...         return [dict(gt_label=label) for label in (0, 0, 0, 1, 1, 2)]
    >>> sampler = EpochSampler(Six(''), seed=0)
    >>> batches = ClassImbalancedBatchSampler(sampler, 3, num_classes_per_batch=2)
    >>> [list(map(int, batch)) for batch in batches]
    [[2, 0, 5], [1, 4, 3]]
    """

    def __init__(self, sampler, batch_size, num_classes_per_batch, scope='shared', epoch='images'):
        self.num_classes_per_batch = self._integer(
            'num_classes_per_batch', num_classes_per_batch, 1
        )
        for name, value, known in (
            ('scope', scope, ('shared', 'disjoint')),
            ('epoch', epoch, ('images', 'classes')),
        ):
            if value not in known:
                raise UserError(f'{self.name}: {name} must be one of {known}, got {value!r}')
        self.scope = scope
        self.epoch = epoch
        super().__init__(sampler, batch_size)
        self._check()
        # A slot is one of the K places for a class; each group of slots fills the batch of a rank,
        # or all of them do together.
        groups = self.world_size if scope == 'disjoint' else 1
        group = self.rank if scope == 'disjoint' else 0
        slots = self.num_classes_per_batch // groups
        self._share, extras = divmod(self.global_batch_size // groups, slots)
        self._extra = np.tile(np.arange(slots) < extras, groups)
        self._own = slice(group * slots, (group + 1) * slots)
        self._slot = np.repeat(np.arange(slots), self._share + self._extra[:slots])
        self._first_place = group * self.batch_size
        self._seed, self._rotations = None, {}
        self._memo = None, 0, np.zeros(0, np.int64)

    def _batches_per_epoch(self):
        if self.epoch == 'classes':
            return max(1, len(self.classes) // self.num_classes_per_batch)
        return super()._batches_per_epoch()

    def _check(self):
        k = self.num_classes_per_batch
        if k > len(self.classes):
            raise UserError(
                f'{self.name}: num_classes_per_batch={k}, but the dataset has images of '
                f'{len(self.classes)} classes only'
            )
        if k > self.global_batch_size:
            raise UserError(
                f'{self.name}: a global batch of {self._shape()} has no room for '
                f'num_classes_per_batch={k}: raise train_dataloader.batch_size'
            )
        if self.scope == 'disjoint' and k % self.world_size:
            raise UserError(
                f"{self.name}: scope='disjoint' gives each of {self.world_size} ranks equally "
                f'many classes: make num_classes_per_batch={k} a multiple of {self.world_size}, '
                "or use scope='shared'"
            )

    def batches(self, seed, first, end):
        """Batches of this rank; see the base class."""
        longer = self._longer_draws(seed, first)
        draws = self._rotation(seed).counts(first) - longer
        for step in range(first, end):
            classes = self._classes(seed, step)
            own = classes[self._own]
            starts = zip(draws[own].tolist(), longer[own].tolist(), self._extra[self._own].tolist())
            members = [
                self._rotation(seed, number).draw(*start)
                for number, start in zip(own.tolist(), starts)
            ]
            images = self.images(own, members)
            places = self._dealt(seed, step)
            yield images[places], places + self._first_place
            draws[classes[~self._extra]] += 1
            longer[classes[self._extra]] += 1
        self._memo = seed, end, longer

    def _rotation(self, seed, number=None):
        """What hands out the images of a class, or the classes."""
        if seed != self._seed:  # as when a checkpoint brings the seed along
            self._seed, self._rotations = seed, {}
        if number not in self._rotations:
            if number is None:
                rotation = Rotation(len(self.sizes), self.num_classes_per_batch, seed, CLASSES)
            else:
                rotation = Rotation(int(self.sizes[number]), self._share, seed, IMAGES, number)
            self._rotations[number] = rotation
        return self._rotations[number]

    def _classes(self, seed, step):
        """Numbers of the classes of a batch, in the order of their slots."""
        classes = self._rotation(seed).draw(step)
        return classes[keyed_generator(seed, SLOTS, step).permutation(len(classes))]

    def _longer_draws(self, seed, step):
        """How often each class has had one image more than others of its batch."""
        known, begin, longer = self._memo
        if known != seed or begin > step:
            begin, longer = 0, np.zeros(len(self.sizes), np.int64)
        longer = longer.copy()
        if self._extra.any():
            for past in range(begin, step):
                longer[self._classes(seed, past)[self._extra]] += 1
        self._memo = seed, step, longer.copy()
        return longer

    def _dealt(self, seed, step):
        """Which images of the own slots are this rank's, in random order."""
        rng = keyed_generator(seed, ORDER, step)
        order = rng.permutation(len(self._slot))
        if self.scope == 'disjoint':
            return order
        # Dealt round, class by class: as many of each to one rank as to another.
        order = order[np.argsort(self._slot[order], kind='stable')][self.rank :: self.world_size]
        return order[rng.permutation(self.batch_size)]

"""An index that remembers when it was drawn."""

import numpy as np

__all__ = ['EpochIndex', 'index_generator']


class EpochIndex(int):
    r"""Sample index that carries the seed and the epoch of its drawing.

    It is an ``int`` wherever an ``int`` is asked for. Persistent data loading
    workers hold a copy of the dataset from before the first epoch and never
    hear of the next one; what reaches them is the index, so the epoch travels
    with it. The bearings outlive pickling and the arithmetic that MMEngine's
    wrappers do on indices: ``-`` (``ConcatDataset``), ``%``
    (``RepeatDataset``), ``+`` (negative indices).

    Args:
        value (int): The index.
        seed (int): Seed of the sampler that drew it. Defaults to 0.
        epoch (int): Epoch in which it was drawn. Defaults to 0.
        origin (int, optional): The index as drawn, before any wrapper
            translated it. Defaults to ``value``.

    >>> index = EpochIndex(7, seed=1, epoch=3)
    >>> index % 5, (index % 5).origin, (index - 2).epoch
    (EpochIndex(2, seed=1, epoch=3, origin=7), 7, 3)
    """

    seed: int
    epoch: int
    origin: int

    def __new__(cls, value, seed=0, epoch=0, origin=None):
        self = super().__new__(cls, value)
        self.seed = int(seed)
        self.epoch = int(epoch)
        self.origin = int(self if origin is None else origin)
        return self

    @classmethod
    def of(cls, index):
        """``index`` itself, or a plain integer as of seed 0 and epoch 0."""
        return index if isinstance(index, cls) else cls(index)

    def moved_to(self, value):
        """Another index with the same seed, epoch and origin."""
        return type(self)(value, self.seed, self.epoch, self.origin)

    def __add__(self, other):
        return self.moved_to(int(self) + int(other))

    def __radd__(self, other):
        return self.moved_to(int(other) + int(self))

    def __sub__(self, other):
        return self.moved_to(int(self) - int(other))

    def __mod__(self, other):
        return self.moved_to(int(self) % int(other))

    def __reduce__(self):
        return type(self), (int(self), self.seed, self.epoch, self.origin)

    def __repr__(self):
        return (
            f'{type(self).__name__}({int(self)}, seed={self.seed}, '
            f'epoch={self.epoch}, origin={self.origin})'
        )

    __str__ = int.__repr__


def index_generator(index, *stream):
    """Random generator of one drawn sample, the same in every process.

    Args:
        index (int): An :class:`EpochIndex`; a plain integer counts as drawn
            with seed 0 in epoch 0.
        *stream (int): Tells the generators of one sample apart, for example
            the number of the view.

    Returns:
        np.random.Generator: A function of (seed, epoch, origin, stream) only.

    >>> one = index_generator(EpochIndex(3, seed=1, epoch=2), 0).random()
    >>> two = index_generator(EpochIndex(9, seed=1, epoch=2, origin=3), 0)
    >>> one == two.random()
    True
    """
    index = EpochIndex.of(index)
    # The key is kept apart from the entropy, so that no two tuples collide.
    sequence = np.random.SeedSequence(index.seed, spawn_key=(index.epoch, index.origin, *stream))
    return np.random.default_rng(sequence)

"""An index whose image was drawn for its class."""

from .epoch_index import EpochIndex

__all__ = ['ClassIndex']


class ClassIndex(EpochIndex):
    """Sample index drawn for its class.

    An :class:`EpochIndex`, which also tells :class:`SkipUndecodable` to take
    the stand-in of an undecodable image from the same class. ``origin`` is
    the number of the draw in its epoch: an image that a small class has to
    give twice in an epoch is seen in other views each time.

    >>> index = ClassIndex(7, seed=1, epoch=3, origin=20)
    >>> index - 2
    ClassIndex(5, seed=1, epoch=3, origin=20)
    """

    @classmethod
    def batch(cls, values, seed, epoch, origins):
        """List of indices of one epoch, built several times as fast as one by one.

        Args:
            values (list[int]): The indices.
            seed (int): Seed of the sampler.
            epoch (int): Epoch.
            origins (list[int]): Number of each draw.

        Returns:
            list[ClassIndex]: One for each value.
        """
        output = []
        for value, origin in zip(values, origins):
            index = int.__new__(cls, value)
            index.seed, index.epoch, index.origin = seed, epoch, origin
            output.append(index)
        return output

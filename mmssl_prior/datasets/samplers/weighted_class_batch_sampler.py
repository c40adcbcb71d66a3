"""Images whose classes are drawn with given probabilities."""

import numpy as np

from .class_batch_sampler import ClassBatchSampler
from .deck import Deck, keyed_generator

__all__ = ['WeightedClassBatchSampler']

COUNTS, SEQUENCE, IMAGES = range(4, 7)  # streams of random numbers, others than ClassImbalanced's


class WeightedClassBatchSampler(ClassBatchSampler):
    r"""Base of batch samplers that draw a class for each image.

    .. math::
        P(\text{class} = c) = p_c

    independently for every image. The images of a class come from a
    permutation without replacement until it is used up, over epochs too. No
    image is twice in a global batch, on whatever ranks, as long as the batch
    holds at most half of the class.

    Subclasses implement :meth:`class_probabilities`.
    """

    def class_probabilities(self):
        """Probability of each class that has images.

        Returns:
            np.ndarray: Shape of ``self.sizes``, the sizes of the classes
            ``self.classes``; it sums to one.
        """
        raise NotImplementedError

    def batches(self, seed, first, end):
        """Batches of this rank; see the base class."""
        length, size = len(self), self.global_batch_size
        epoch = first // length
        # Of an epoch first how often each class comes, then in which order: that is the same as
        # independent draws, and epochs gone by need only be counted.
        sequence = np.repeat(np.arange(len(self.sizes)), self._counts(seed, epoch))
        sequence = keyed_generator(seed, SEQUENCE, epoch).permutation(sequence)
        skipped = sequence[: (first - epoch * length) * size]
        past = np.bincount(skipped, minlength=len(self.sizes))
        past += sum(self._counts(seed, number) for number in range(epoch))
        decks = {}
        own = np.arange(self.rank * self.batch_size, (self.rank + 1) * self.batch_size)
        for step in range(first, end):
            begin = (step - epoch * length) * size
            classes = sequence[begin : begin + size]
            order = np.argsort(classes, kind='stable')
            images = np.empty(size, np.int64)
            numbers, counts = np.unique(classes, return_counts=True)
            members = []
            for number, start, count in zip(
                numbers.tolist(), past[numbers].tolist(), counts.tolist()
            ):
                if number not in decks:
                    decks[number] = self._deck(seed, number)
                members.append(decks[number].draw(start, count))
            images[order] = self.images(numbers, members)
            past[numbers] += counts
            yield images[own], own

    def _counts(self, seed, epoch):
        rng = keyed_generator(seed, COUNTS, epoch)
        return rng.multinomial(len(self) * self.global_batch_size, self.class_probabilities())

    def _deck(self, seed, number):
        size = int(self.sizes[number])
        return Deck(size, (size + 1) // 2, seed, IMAGES, number)

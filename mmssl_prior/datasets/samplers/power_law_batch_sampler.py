"""Classes with frequencies of a power law, whatever those of the dataset."""

import numpy as np
from mmpretrain.registry import DATA_SAMPLERS

from ...errors import UserError
from .weighted_class_batch_sampler import WeightedClassBatchSampler

__all__ = ['PowerLawBatchSampler']


@DATA_SAMPLERS.register_module()
class PowerLawBatchSampler(WeightedClassBatchSampler):
    r"""Draw classes with probabilities of a power law.

    .. math::
        P(\text{class} = \sigma(r)) = r^{-a} / \sum_{j=1}^C j^{-a},
        \qquad r = 1, \dots, C

    with :math:`\sigma` a permutation of the C classes drawn from
    ``class_seed``. All images stay in use, those of rare classes seldom.

    Args:
        sampler (Sampler): An ``EpochSampler``, by MMEngine's Runner.
        batch_size (int): Local batch size, by MMEngine's Runner.
        power (float): The power a; 0 is balanced. Defaults to 1.0.
        class_seed (int): Seed of the permutation: which class is frequent.
            Defaults to 0.

    Raises:
        UserError: If an argument is outside its range; see also
            :class:`ClassImbalancedBatchSampler`.

    >>> from mmpretrain.datasets import BaseDataset
    >>> from mmssl_prior.datasets import EpochSampler
    >>> class Six(BaseDataset):
    ...     def load_data_list(self):
    ...         return [dict(gt_label=label) for label in (0, 0, 0, 1, 1, 2)]
    >>> sampler = PowerLawBatchSampler(EpochSampler(Six(''), seed=0), 3)
    >>> sampler.class_probabilities().round(3).tolist()
    [0.273, 0.182, 0.545]
    """

    def __init__(self, sampler, batch_size, power=1.0, class_seed=0):
        if (
            isinstance(power, bool)
            or not isinstance(power, (int, float))
            or not (0 <= power < float('inf'))
        ):
            raise UserError(f'{self.name}: power must be a finite number >= 0, got {power!r}')
        self.power = power
        self.class_seed = self._integer('class_seed', class_seed, 0)
        super().__init__(sampler, batch_size)

    def class_probabilities(self):
        """Probability of each class."""
        number = len(self.sizes)
        weights = np.arange(1, number + 1, dtype=np.float64) ** -self.power
        probabilities = np.empty(number)
        order = np.random.default_rng(self.class_seed).permutation(number)
        probabilities[order] = weights / weights.sum()
        return probabilities

"""Classes with a power of their frequencies in the dataset."""

import numpy as np
from mmpretrain.registry import DATA_SAMPLERS

from ...errors import UserError
from .weighted_class_batch_sampler import WeightedClassBatchSampler

__all__ = ['ResamplingBatchSampler']


@DATA_SAMPLERS.register_module()
class ResamplingBatchSampler(WeightedClassBatchSampler):
    r"""Resample a long-tailed dataset.

    .. math::
        P(\text{class} = c) = n_c^q / \sum_j n_j^q

    for class sizes :math:`n_c`; an image has the weight :math:`n_c^{q-1}`.
    ``power=0.5`` is inverse-square-root resampling, also called square-root
    sampling (images weigh :math:`1 / \sqrt{n_c}`), ``power=0`` class-balanced
    sampling, ``power=1`` the dataset as it is.

    Args:
        sampler (Sampler): An ``EpochSampler``, by MMEngine's Runner.
        batch_size (int): Local batch size, by MMEngine's Runner.
        power (float): The power q, from 0 to 1. Defaults to 0.5.

    Raises:
        UserError: If ``power`` is outside its range; see also
            :class:`ClassImbalancedBatchSampler`.

    References:
        Mahajan et al., Exploring the Limits of Weakly Supervised Pretraining,
        ECCV 2018; Kang et al., Decoupling Representation and Classifier for
        Long-Tailed Recognition, ICLR 2020.

    >>> from mmpretrain.datasets import BaseDataset
    >>> from mmssl_prior.datasets import EpochSampler
    >>> class Thirteen(BaseDataset):
    ...     def load_data_list(self):
    ...         return [dict(gt_label=int(i < 9)) for i in range(13)]
    >>> sampler = ResamplingBatchSampler(EpochSampler(Thirteen(''), seed=0), 4)
    >>> sampler.class_probabilities().round(3).tolist()  # 4 and 9 images
    [0.4, 0.6]
    """

    def __init__(self, sampler, batch_size, power=0.5):
        if isinstance(power, bool) or not isinstance(power, (int, float)) or not 0 <= power <= 1:
            raise UserError(f'{self.name}: power must be a number in [0, 1], got {power!r}')
        self.power = power
        super().__init__(sampler, batch_size)

    def class_probabilities(self):
        """Probability of each class."""
        weights = self.sizes.astype(np.float64) ** self.power
        return weights / weights.sum()

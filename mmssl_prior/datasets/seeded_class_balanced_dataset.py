from mmengine.dataset import ClassBalancedDataset
from mmpretrain.registry import DATASETS

from .samplers.epoch_index import EpochIndex

__all__ = ['SeededClassBalancedDataset']


@DATASETS.register_module()
class SeededClassBalancedDataset(ClassBalancedDataset):
    """MMEngine's ``ClassBalancedDataset``, with the epoch kept in every index.

    That one looks an image up in a list and so hands a plain integer to the
    dataset it wraps: seeded views would be the same in every epoch. Here seed,
    epoch and origin go on with the index. Each repetition of an image has an
    origin, hence views, of its own.

    Args:
        dataset (BaseDataset or dict): The dataset.
        oversample_thr (float): Images of a class of frequency f come
            :math:`\\lceil \\max(1, \\sqrt{thr / f}) \\rceil` times.
        lazy_init (bool): As in MMEngine. Defaults to False.

    >>> from mmpretrain.datasets import BaseDataset
    >>> class Five(BaseDataset):
    ...     def load_data_list(self):
    ...         return [dict(gt_label=label) for label in (0, 0, 0, 0, 1)]
    >>> data = SeededClassBalancedDataset(Five(''), oversample_thr=0.5)
    >>> len(data), data.get_data_info(EpochIndex(5, seed=1, epoch=3))['sample_idx']
    (6, EpochIndex(4, seed=1, epoch=3, origin=5))
    """

    def _get_ori_dataset_idx(self, idx):
        return EpochIndex.of(idx).moved_to(super()._get_ori_dataset_idx(idx))

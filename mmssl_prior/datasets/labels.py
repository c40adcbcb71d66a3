"""The labels of any dataset, as one array."""

import numbers
import pickle

import numpy as np
from mmengine.dataset import BaseDataset
from mmpretrain.datasets import BaseDataset as LabelledDataset

from ..errors import UserError

__all__ = ['dataset_labels']


def dataset_labels(dataset):
    """Label of every sample, in the order of the indices.

    Knows MMEngine's wrappers (``ConcatDataset``, ``RepeatDataset``,
    ``ClassBalancedDataset`` and :class:`SeededClassBalancedDataset`, also
    within each other) and torch's ``Subset``;
    of other datasets it asks ``get_gt_labels()``, else the ``gt_label`` of
    ``get_data_info(i)``. Nothing is loaded but annotations.

    Args:
        dataset (Sized): The dataset.

    Returns:
        np.ndarray: int64 labels of shape (len(dataset), ).

    Raises:
        UserError: If a sample has no label or several, or a negative one.

    >>> from mmengine.dataset import RepeatDataset
    >>> from mmpretrain.datasets import BaseDataset
    >>> class Three(BaseDataset):
    ...     def load_data_list(self):
    ...         return [dict(gt_label=label) for label in (2, 0, 1)]
    >>> dataset_labels(RepeatDataset(Three(''), times=2)).tolist()
    [2, 0, 1, 2, 0, 1]
    """
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    labels = np.asarray(_labels(dataset))
    if labels.shape != (len(dataset),) or not np.issubdtype(labels.dtype, np.integer):
        raise _unlabelled(dataset)
    labels = labels.astype(np.int64)
    if len(labels) and labels.min() < 0:
        raise UserError(
            f'{type(dataset).__name__}: sample {labels.argmin()} has the label {labels.min()}; '
            'labels are integers from 0'
        )
    return labels


def _labels(dataset):
    inner = getattr(dataset, '__dict__', {})
    if 'datasets' in inner:
        return np.concatenate([dataset_labels(part) for part in inner['datasets']])
    if 'repeat_indices' in inner:
        return dataset_labels(dataset.dataset)[dataset.repeat_indices]
    if 'times' in inner and 'dataset' in inner:
        return np.tile(dataset_labels(dataset.dataset), dataset.times)
    if 'dataset' in inner and 'indices' in inner and not hasattr(dataset, 'get_data_info'):
        return dataset_labels(dataset.dataset)[np.asarray(dataset.indices, np.int64)]
    if '_dataset' in inner and '_length' in inner:  # MMEngine's num_batch_per_epoch
        return dataset_labels(inner['_dataset'])[: len(dataset)]
    if _is_serialized(dataset):
        return _unpickled(dataset)
    if hasattr(dataset, 'get_gt_labels'):
        return _asked(dataset, dataset.get_gt_labels)
    if hasattr(dataset, 'get_data_info'):
        return _asked(
            dataset, lambda: [dataset.get_data_info(i)['gt_label'] for i in range(len(dataset))]
        )
    raise _unlabelled(dataset)


def _is_serialized(dataset):
    """Whether the annotations are MMEngine's byte stream, read by nobody's own method."""
    kind = type(dataset)
    return (
        isinstance(dataset, BaseDataset)
        and dataset.serialize_data
        and kind.get_data_info is BaseDataset.get_data_info
        and getattr(kind, 'get_gt_labels', None) in (None, LabelledDataset.get_gt_labels)
    )


def _unpickled(dataset):
    """One pass over the stream: a call for each sample would take several times as long."""
    stream, ends, load = memoryview(dataset.data_bytes), dataset.data_address.tolist(), pickle.loads
    return _asked(
        dataset,
        lambda: [load(stream[a:b])['gt_label'] for a, b in zip([0, *ends], ends)],
    )


def _asked(dataset, read):
    try:
        labels = list(read())
    except (KeyError, AttributeError, NotImplementedError) as error:
        raise _unlabelled(dataset) from error
    if not all(isinstance(label, numbers.Integral) for label in labels):
        raise _unlabelled(dataset)
    return labels if labels else np.empty(0, np.int64)


def _unlabelled(dataset):
    return UserError(
        f'{type(dataset).__name__} has no labels: each sample needs one integer gt_label in its '
        'annotation (a folder of one subfolder per class: type=CustomDataset, with_label=True)'
    )

"""CIFAR-100, from the raw download."""

import os.path as osp
import pickle

import numpy as np
from mmpretrain.datasets import CIFAR100, BaseDataset
from mmpretrain.registry import DATASETS

from ..errors import UserError, printable

__all__ = ['CIFAR100Archive']

SPLITS = ('train', 'test')
NUM_CLASSES = 100
SIDE = 32


@DATASETS.register_module()
class CIFAR100Archive(BaseDataset):
    """CIFAR-100 with fine labels, from the unpacked ``cifar-100-python.tar.gz``.

    ::

        data_root/
          cifar-100-python/{train,test,meta}

    MMPretrain's ``CIFAR100`` gives RGB images where all file-based datasets
    give BGR, so that one data preprocessor cannot serve both, and starts a
    download by itself. Here images are BGR (uint8, HWC), and nothing is
    downloaded.

    Args:
        data_root (str): Folder of the download. Defaults to 'data/cifar100'.
        split (str): 'train' or 'test'. Defaults to 'train'.
        pipeline (Sequence): Transforms. Defaults to ().
        **kwargs: Other arguments of MMPretrain's ``BaseDataset``.

    Raises:
        UserError: If the split is neither, the file is missing, or it is not
            that of CIFAR-100.

    References:
        Krizhevsky, Learning Multiple Layers of Features from Tiny Images,
        2009.
    """

    METAINFO = CIFAR100.METAINFO

    def __init__(self, data_root='data/cifar100', split='train', pipeline=(), **kwargs):
        if split not in SPLITS:
            raise UserError(f'split must be one of {SPLITS}, got {split!r}')
        self.split = split
        super().__init__(
            ann_file=f'cifar-100-python/{split}',
            data_root=osp.expanduser(data_root),
            pipeline=pipeline,
            **kwargs,
        )

    def load_data_list(self):
        """Read the split into memory."""
        if not osp.isfile(self.ann_file):
            raise UserError(
                f'CIFAR-100 ({self.split} split): {printable(osp.abspath(self.ann_file))} does '
                'not exist; unpack cifar-100-python.tar.gz, or set data_root of the dataset'
            )
        images, labels = _read(self.ann_file)
        return [dict(img=image, gt_label=label) for image, label in zip(images, labels)]


def _read(path):
    """Images (N, 32, 32, 3) in BGR, and labels."""
    name = printable(path)
    try:
        with open(path, 'rb') as file:
            content = _PlainUnpickler(file, encoding='latin1').load()
        data, labels = content['data'], content['fine_labels']
        planes = np.asarray(data, np.uint8).reshape(-1, 3, SIDE, SIDE)
    except Exception as error:
        raise UserError(
            f'{name}: not a file of CIFAR-100 in Python ({type(error).__name__}: {error}); unpack '
            'cifar-100-python.tar.gz again'
        ) from error
    if len(planes) != len(labels):
        raise UserError(f'{name}: {len(planes)} images but {len(labels)} labels')
    for number, label in enumerate(labels):
        if not (isinstance(label, int) and 0 <= label < NUM_CLASSES):
            raise UserError(
                f'{name}: fine_labels[{number}] is {label!r:.40}, expected 0 to {NUM_CLASSES - 1}'
            )
    return np.ascontiguousarray(planes[:, ::-1].transpose(0, 2, 3, 1)), labels


class _PlainUnpickler(pickle.Unpickler):
    """Makes arrays and plain containers only: a pickle can otherwise run any code."""

    allowed = {
        ('numpy.core.multiarray', '_reconstruct'),
        ('numpy._core.multiarray', '_reconstruct'),
        ('numpy', 'ndarray'),
        ('numpy', 'dtype'),
        ('_codecs', 'encode'),
    }

    def find_class(self, module, name):
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f'it holds a {module}.{name}')
        return super().find_class(module, name)

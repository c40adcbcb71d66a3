"""Long-tailed set of real scans that comes with scikit-learn."""

import functools
import numbers

import numpy as np
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS
from PIL import Image

from ..errors import UserError
from .long_tail import long_tailed_counts, power_law_counts

__all__ = ['DigitsLT']

SPLITS = ('train', 'probe', 'test')
NUM_CLASSES = 10
LARGEST_VALUE = 16  # of the scans, which count ink in 4 x 4 blocks
SMALLEST_CLASS = 174  # scans of the digit 8


@DATASETS.register_module()
class DigitsLT(BaseDataset):
    r"""Handwritten digits with a power law of class sizes.

    .. math::
        n_{\sigma(r)} \propto r^{-a}, \qquad r = 1, \dots, 10

    with :math:`\sigma` a permutation of the digits drawn from ``class_seed``.
    The 1,797 scans of 8 x 8 pixels that scikit-learn brings along are divided,
    class by class and in an order drawn from ``split_seed``, into ``test``,
    ``probe`` (to fit k-NN banks and linear probes; both class-balanced) and a
    pool of which ``train`` takes its share. The splits never overlap, and a
    train split of fewer images of a class is part of one of more.

    Scans are enlarged bicubically and kept in memory: dicts with ``img``
    (uint8, HWC, three equal channels) and ``gt_label``.

    Args:
        split (str): 'train', 'probe' or 'test'. Defaults to 'train'.
        num_images (int, optional): Size of the train split. None takes as
            many as the exponent allows, under any permutation. Defaults to
            None.
        images_per_class (int): Size of each class of ``probe`` and of
            ``test``; the train split needs to know it too. Defaults to 25.
        exponent (float): Power a of the train split's class sizes; 0 is
            balanced. Defaults to 1.0.
        class_seed (int): Seed of the permutation. Defaults to 0.
        split_seed (int): Seed of the division. Defaults to 0.
        image_size (int): Height and width in pixels. Defaults to 32.
        pipeline (Sequence): Transforms. Defaults to ().
        **kwargs: Other arguments of MMPretrain's ``BaseDataset``.

    Raises:
        ValueError: If an argument is outside its range.

    References:
        Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI
        Machine Learning Repository, 1998.

    >>> data = DigitsLT(class_seed=1)
    >>> len(data), sorted(np.bincount(data.get_gt_labels()).tolist())
    (364, [12, 14, 16, 18, 21, 25, 31, 41, 62, 124])
    """

    METAINFO = dict(classes=tuple(map(str, range(NUM_CLASSES))))

    def __init__(
        self,
        split='train',
        num_images=None,
        images_per_class=25,
        exponent=1.0,
        class_seed=0,
        split_seed=0,
        image_size=32,
        pipeline=(),
        **kwargs,
    ):
        if split not in SPLITS:
            raise UserError(f'DigitsLT: split must be one of {SPLITS}, got {split!r}')
        _check('images_per_class', images_per_class, 1, (SMALLEST_CLASS - 1) // 2)
        _check('class_seed', class_seed, 0)
        _check('split_seed', split_seed, 0)
        _check('image_size', image_size, 8, 1024)
        if not (isinstance(exponent, (int, float)) and 0 <= exponent < float('inf')):
            raise UserError(f'DigitsLT: exponent must be a finite number >= 0, got {exponent!r}')
        pool = SMALLEST_CLASS - 2 * images_per_class
        most = _most_images(pool, exponent)
        if num_images is not None:
            _check('num_images', num_images, NUM_CLASSES, most)
        self.split = split
        self.num_images = most if num_images is None else num_images
        self.images_per_class = images_per_class
        self.exponent = exponent
        self.class_seed = class_seed
        self.split_seed = split_seed
        self.image_size = image_size
        super().__init__(ann_file='', pipeline=pipeline, **kwargs)

    def class_counts(self):
        """Number of images of each digit in this split.

        Returns:
            np.ndarray: int64 array of shape (10, ).
        """
        if self.split != 'train':
            return np.full(NUM_CLASSES, self.images_per_class, np.int64)
        return long_tailed_counts(self.num_images, NUM_CLASSES, self.exponent, self.class_seed)

    def load_data_list(self):
        """Enlarge the scans of the split, class by class."""
        scans, labels = _scans()
        rng = np.random.default_rng(self.split_seed)
        begin = dict(test=0, probe=1, train=2)[self.split] * self.images_per_class
        data_list = []
        for label, count in enumerate(self.class_counts()):
            members = rng.permutation(np.flatnonzero(labels == label))
            data_list += [
                dict(img=_enlarged(scans[i], self.image_size), gt_label=label)
                for i in members[begin : begin + count]
            ]
        return data_list

    def extra_repr(self):
        """What tells this split from another."""
        return [
            f'Split: \t{self.split}',
            f'Exponent: \t{self.exponent}',
            f'Seeds: \tclass {self.class_seed}, split {self.split_seed}',
        ]


@functools.lru_cache(maxsize=1)
def _scans():
    # Here, since it brings SciPy: a second that every command would spend.
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def _check(name, value, low, high=None):
    good = isinstance(value, numbers.Integral) and value >= low and (high is None or value <= high)
    if not good:
        bounds = f'>= {low}' if high is None else f'in [{low}, {high}]'
        raise UserError(f'DigitsLT: {name} must be an integer {bounds}, got {value!r}')


def _most_images(pool, exponent):
    """The most images whose largest class fits into the pool."""
    sizes = range(NUM_CLASSES, NUM_CLASSES * pool + 1)
    return max(n for n in sizes if power_law_counts(n, NUM_CLASSES, exponent)[0] <= pool)


def _enlarged(scan, size):
    values = np.round(scan.reshape(8, 8) * (255 / LARGEST_VALUE)).astype(np.uint8)
    grey = Image.fromarray(values).resize((size, size), Image.Resampling.BICUBIC)
    return np.repeat(np.asarray(grey)[..., None], 3, axis=2)

"""Long-tailed set of procedurally generated images."""

import numbers

import numpy as np
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from ..errors import UserError
from .long_tail import long_tailed_counts
from .patterns import MAX_CLASSES, MOTIFS, class_name, render

SPLITS = ('train', 'probe', 'test')
IMAGES_PER_CLASS = dict(probe=100, test=50)


def _require(ok, name, value, allowed):
    if not ok:
        raise UserError(f'PatternsLT: {name}={value!r}: expected {allowed}')


def _is_int(value, low, high=None):
    return (
        isinstance(value, numbers.Integral)
        and not isinstance(value, bool)
        and value >= low
        and (high is None or value <= high)
    )


@DATASETS.register_module()
class PatternsLT(BaseDataset):
    r"""Procedurally generated images with a power law of class sizes.

    .. math::
        n_{\sigma(r)} \propto r^{-a}, \qquad r = 1, \dots, C

    with :math:`\sigma` a permutation of the classes drawn from
    ``class_seed``: which class is frequent is chosen at random, how frequent
    the frequent ones are is not. The splits ``probe`` (to fit k-NN banks and
    linear probes) and ``test`` are class-balanced.

    Image ``i`` of class ``c`` is a pure function of (image_seed, split, c, i)
    and of the size: splits never share a seed, and sizes of other classes,
    processes and the global random state change nothing. Images are kept in
    memory, as in MMPretrain's CIFAR datasets: dicts with ``img`` (uint8, HWC,
    BGR as in mmcv) and ``gt_label``.

    Args:
        split (str): 'train', 'probe' or 'test'. Defaults to 'train'.
        num_classes (int): From 16 (the bare motifs) to 128 (motifs in
            windows). Defaults to 16.
        num_images (int): Size of the train split. Defaults to 2400.
        images_per_class (int, optional): Size of each class of a balanced
            split. None means 100 for 'probe' and 50 for 'test'. The train
            split takes none. Defaults to None.
        exponent (float): Power a of the train split's class sizes; 0 is
            balanced. Every class keeps at least one image. Defaults to 1.0.
        class_seed (int): Seed of the permutation. Defaults to 0.
        image_seed (int): Seed of the images. Defaults to 0.
        image_size (int): Height and width in pixels. Defaults to 40.
        pipeline (Sequence): Processing pipeline. Defaults to ().
        **kwargs: Other arguments of MMPretrain's ``BaseDataset``.

    Raises:
        ValueError: If an argument is outside its range.

    >>> data = PatternsLT(num_images=160)
    >>> len(data), sorted(np.bincount(data.get_gt_labels()).tolist())[-3:]
    (160, [16, 24, 47])
    """

    def __init__(
        self,
        split='train',
        num_classes=16,
        num_images=2400,
        images_per_class=None,
        exponent=1.0,
        class_seed=0,
        image_seed=0,
        image_size=40,
        pipeline=(),
        **kwargs,
    ):
        _require(split in SPLITS, 'split', split, f'one of {SPLITS}')
        _require(
            _is_int(num_classes, len(MOTIFS), MAX_CLASSES),
            'num_classes',
            num_classes,
            f'an integer in [{len(MOTIFS)}, {MAX_CLASSES}]',
        )
        _require(
            _is_int(num_images, num_classes),
            'num_images',
            num_images,
            f'an integer >= num_classes ({num_classes})',
        )
        if split == 'train':
            _require(
                images_per_class is None,
                'images_per_class',
                images_per_class,
                "None for split='train' (num_images sets its size)",
            )
        else:
            _require(
                images_per_class is None or _is_int(images_per_class, 1),
                'images_per_class',
                images_per_class,
                'None or an integer >= 1',
            )
        _require(
            isinstance(exponent, (int, float)) and 0 <= exponent < np.inf,
            'exponent',
            exponent,
            'a finite number >= 0',
        )
        _require(_is_int(class_seed, 0), 'class_seed', class_seed, 'an integer >= 0')
        _require(_is_int(image_seed, 0), 'image_seed', image_seed, 'an integer >= 0')
        _require(_is_int(image_size, 8, 1024), 'image_size', image_size, 'an integer in [8, 1024]')

        self.split = split
        self.num_classes = int(num_classes)
        self.num_images = int(num_images)
        self.images_per_class = images_per_class
        self.exponent = float(exponent)
        self.class_seed = int(class_seed)
        self.image_seed = int(image_seed)
        self.image_size = int(image_size)
        super().__init__(ann_file='', pipeline=pipeline, **kwargs)
        self._metainfo.setdefault('classes', tuple(map(class_name, range(self.num_classes))))

    def class_counts(self):
        """Number of images of each class in this split.

        Returns:
            np.ndarray: int64 array of shape (num_classes, ).
        """
        if self.split != 'train':
            size = self.images_per_class or IMAGES_PER_CLASS[self.split]
            return np.full(self.num_classes, size, np.int64)
        return long_tailed_counts(self.num_images, self.num_classes, self.exponent, self.class_seed)

    def load_data_list(self):
        """Render the split, class by class."""
        split = SPLITS.index(self.split)
        data_list = []
        for label, count in enumerate(self.class_counts()):
            for number in range(count):
                seed = np.random.SeedSequence(self.image_seed, spawn_key=(split, label, number))
                image = render(label, np.random.default_rng(seed), self.image_size)
                data_list.append(dict(img=np.ascontiguousarray(image[..., ::-1]), gt_label=label))
        return data_list

    def extra_repr(self):
        """What tells this split from another."""
        return [
            f'Split: \t{self.split}',
            f'Exponent: \t{self.exponent}',
            f'Seeds: \tclass {self.class_seed}, image {self.image_seed}',
        ]

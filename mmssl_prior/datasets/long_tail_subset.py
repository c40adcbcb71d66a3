"""A long-tailed part of any labelled dataset."""

import copy
import math
import numbers
import os.path as osp

import numpy as np
from mmengine.dataset import BaseDataset, ConcatDataset
from mmpretrain.registry import DATASETS

from ..errors import UserError, printable
from .labels import dataset_labels
from .long_tail import exponential_profile, pareto_profile, power_law_profile

__all__ = ['LongTailSubset']

PROFILES = dict(exponential=exponential_profile, power_law=power_law_profile, pareto=pareto_profile)
HEADER = '# LongTailSubset: index and label, one image a line'


@DATASETS.register_module()
class LongTailSubset:
    r"""Long-tailed subset of a dataset with labels.

    The class of rank r = 1, ..., C keeps :math:`n_r` images, chosen at random
    and without replacement; with the imbalance factor
    :math:`\rho = n_{max} / n_{min}`

    - 'exponential': :math:`n_r = n_{max}\,\rho^{-(r-1)/(C-1)}`, as CIFAR-LT,
    - 'power_law': :math:`n_r = n_{max}\,r^{-\log\rho / \log C}`,
    - 'pareto': quantiles of a Pareto distribution, after ImageNet-LT (with
      ``imbalance_factor=256, max_images=1280``; what is uncertain about it
      stands at :func:`pareto_profile`),

    rounded down. Images keep their order. One line makes the data of a study::

        dataset = dict(type='LongTailSubset', profile='exponential',
                       imbalance_factor=100, dataset=dict(type='CIFAR100', ...))

    The index list (:attr:`indices`, positions in the whole dataset) can be
    written with :meth:`write` and read with ``index_file``; each line holds
    the label too, so that a list is not taken for that of other data.

    Args:
        dataset (BaseDataset or dict): The dataset, of MMEngine or MMPretrain;
            also a ``ConcatDataset`` of such. Wrappers that repeat images go
            around the subset.
        profile (str): 'exponential', 'power_law' or 'pareto'. Defaults to
            'exponential'.
        imbalance_factor (float): Size of the largest class by that of the
            smallest. Defaults to 100.
        max_images (int, optional): Size of the largest class. None is the
            size of the dataset's smallest class, which always fits. Defaults
            to None.
        alpha (float): Shape of the Pareto distribution. Defaults to 6.0.
        class_seed (int, optional): Seed of the permutation that makes class
            and rank. Where a rank asks for more images than the next class of
            the permutation has, the first class after it that has them takes
            its place. None ranks the classes by their numbers, as CIFAR-LT
            does. Defaults to None.
        seed (int): Seed of the choice of images. Defaults to 0.
        index_file (str, optional): Index list to read in place of all the
            above. Defaults to None.
        indices (int or Sequence[int], optional): Which images of the subset
            to take, as of MMEngine's ``BaseDataset``. Defaults to None.
        lazy_init (bool): Whether to load annotations later. Defaults to
            False.

    Raises:
        UserError: If an argument is outside its range, the dataset unlabelled
            or without the images that the profile asks for, or a line of the
            index file wrong.

    >>> from mmssl_prior.datasets import PatternsLT
    >>> data = LongTailSubset(PatternsLT('test', image_size=8), imbalance_factor=10)
    >>> data.class_counts().tolist()
    [50, 42, 36, 31, 27, 23, 19, 17, 14, 12, 10, 9, 7, 6, 5, 5]
    """

    def __init__(
        self,
        dataset,
        profile='exponential',
        imbalance_factor=100,
        max_images=None,
        alpha=6.0,
        class_seed=None,
        seed=0,
        index_file=None,
        indices=None,
        lazy_init=False,
    ):
        if profile not in PROFILES:
            raise UserError(
                f'LongTailSubset: profile must be one of {tuple(PROFILES)}, got {profile!r}'
            )
        _check_number('imbalance_factor', imbalance_factor, 1)
        _check_number('alpha', alpha, 0)
        if alpha == 0:
            raise UserError('LongTailSubset: alpha must be above 0, got 0')
        for name, value, low in (
            ('max_images', max_images, 1),
            ('class_seed', class_seed, 0),
            ('seed', seed, 0),
        ):
            if value is not None or name == 'seed':
                _check_integer(name, value, low)
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        _check_type(self.dataset)
        self.profile = profile
        self.imbalance_factor = imbalance_factor
        self.max_images = max_images
        self.alpha = alpha
        self.class_seed = class_seed
        self.seed = seed
        self.index_file = index_file
        self._wanted = indices
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    def full_init(self):
        """Load the annotations and reduce them to the subset."""
        if self._fully_initialized:
            return
        labels = dataset_labels(self.dataset)
        if self.index_file is None:
            indices = self._chosen(labels)
        else:
            indices = _read(osp.expanduser(self.index_file), labels)
        if self._wanted is not None:
            indices = _some(indices, self._wanted)
        self.dataset = _subset(self.dataset, indices.tolist())
        self._indices, self._labels = indices, labels[indices]
        self._fully_initialized = True

    def _chosen(self, labels):
        sizes = np.bincount(labels)
        classes = np.flatnonzero(sizes)
        if not len(classes):
            raise UserError(f'LongTailSubset: {type(self.dataset).__name__} is empty')
        most = self.max_images or int(sizes[classes].min())
        shape = (self.alpha,) if self.profile == 'pareto' else ()
        wanted = PROFILES[self.profile](most, len(classes), self.imbalance_factor, *shape)
        if wanted[-1] < 1:
            raise UserError(
                f'LongTailSubset: imbalance_factor={self.imbalance_factor} leaves no image for '
                f'the rarest class if the most frequent has {most}: lower it, or raise max_images'
            )
        rng = np.random.default_rng(self.seed)
        # Class by class in the order of their numbers: the ranks do not change which come first.
        members = np.split(np.argsort(labels, kind='stable'), np.cumsum(sizes[classes])[:-1])
        orders = {c: rng.permutation(part) for c, part in zip(classes.tolist(), members)}
        ranked = self._ranked(classes, sizes, wanted)
        kept = [orders[c][:number] for c, number in zip(ranked, wanted.tolist())]
        return np.sort(np.concatenate(kept))

    def _ranked(self, classes, sizes, wanted):
        """The classes in the order of their ranks."""
        if self.class_seed is None:
            waiting = classes.tolist()
        else:
            waiting = np.random.default_rng(self.class_seed).permutation(classes).tolist()
        ranked = []
        for rank, number in enumerate(wanted.tolist(), 1):
            candidates = waiting[:1] if self.class_seed is None else waiting
            chosen = next((c for c in candidates if sizes[c] >= number), None)
            if chosen is None:
                holder = (
                    f'class {waiting[0]} has {sizes[waiting[0]]}'
                    if self.class_seed is None
                    else f'the largest class left has {max(sizes[waiting])}'
                )
                raise UserError(
                    f'LongTailSubset: rank {rank} of the profile asks for {number} images, {holder}'
                    ': lower max_images'
                    + (', or set class_seed' if self.class_seed is None else '')
                )
            waiting.remove(chosen)
            ranked.append(chosen)
        return ranked

    @property
    def indices(self):
        """np.ndarray: Positions of the images in the whole dataset."""
        self.full_init()
        return self._indices.copy()

    def write(self, path):
        """Write the index list.

        Args:
            path (str): The text file; ``index_file`` reads it.
        """
        self.full_init()
        lines = [f'{i} {label}' for i, label in zip(self._indices, self._labels)]
        with open(osp.expanduser(path), 'w', encoding='utf-8') as file:
            file.write('\n'.join([HEADER, *lines]) + '\n')

    def class_counts(self):
        """Number of images of each class number.

        Returns:
            np.ndarray: int64 array, as long as there are class names or, if
            there are none, as the largest label asks for.
        """
        return np.bincount(self.get_gt_labels(), minlength=len(self.CLASSES or ()))

    def get_gt_labels(self):
        """Labels of the subset, shape (len(self), )."""
        self.full_init()
        return self._labels.copy()

    def get_cat_ids(self, idx):
        """Label of an image, as a list."""
        self.full_init()
        return [int(self._labels[idx])]

    def get_data_info(self, idx):
        """Annotation of an image."""
        self.full_init()
        return self.dataset.get_data_info(idx)

    def __getitem__(self, idx):
        self.full_init()
        return self.dataset[idx]

    def __len__(self):
        self.full_init()
        return len(self._indices)

    @property
    def metainfo(self):
        """dict: That of the dataset."""
        return self.dataset.metainfo

    @property
    def CLASSES(self):
        """Names of the classes, or None."""
        return self.metainfo.get('classes')

    @property
    def class_to_idx(self):
        """dict: Labels by names."""
        return {name: label for label, name in enumerate(self.CLASSES or ())}

    def __repr__(self):
        source = self.index_file or (
            f'{self.profile}, imbalance factor {self.imbalance_factor}, seed {self.seed}, '
            f'class seed {self.class_seed}'
        )
        number = f'{len(self)} images' if self._fully_initialized else 'not initialized'
        return f'LongTailSubset ({number}; {source}) of {type(self.dataset).__name__}'


def _check_number(name, value, low):
    good = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (good and low <= value < math.inf):
        raise UserError(f'LongTailSubset: {name} must be a finite number >= {low}, got {value!r}')


def _check_integer(name, value, low):
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < low:
        raise UserError(f'LongTailSubset: {name} must be an integer >= {low}, got {value!r}')


def _check_type(dataset):
    parts = dataset.datasets if isinstance(dataset, ConcatDataset) else [dataset]
    for part in parts:
        if not isinstance(part, BaseDataset):
            raise UserError(
                f'LongTailSubset: {type(part).__name__} cannot be reduced: wrap a dataset of '
                'MMEngine or MMPretrain, or a ConcatDataset of such; RepeatDataset and '
                'ClassBalancedDataset go around LongTailSubset'
            )


def _some(indices, wanted):
    """As ``indices`` of MMEngine's datasets: the first, the last or those named."""
    if isinstance(wanted, numbers.Integral):
        return indices[:wanted] if int(wanted) >= 0 else indices[wanted:]
    wanted = np.asarray(wanted, np.int64)
    if len(wanted) and (wanted.max() >= len(indices) or wanted.min() < -len(indices)):
        raise UserError(
            f'LongTailSubset: indices go beyond the {len(indices)} images of the subset'
        )
    return indices[wanted]


def _subset(dataset, indices):
    """The dataset with some of its images, stand-ins of undecodable ones included."""
    if not isinstance(dataset, ConcatDataset):
        return dataset.get_subset(indices)
    ends = dataset.cumulative_sizes
    if indices != sorted(indices):
        raise UserError('LongTailSubset: indices of a ConcatDataset must ascend')
    output = copy.copy(dataset)
    output.datasets = []
    for part, begin, end in zip(dataset.datasets, [0, *ends], ends):
        inner = [i - begin for i in indices if begin <= i < end]
        if inner:
            output.datasets.append(part.get_subset(inner))
    output._fully_initialized = False
    output.full_init()
    return output


def _read(path, labels):
    """Positions of an index list, checked against the labels of the dataset."""
    name = printable(path)
    try:
        with open(path, encoding='utf-8') as file:
            lines = file.read().split('\n')
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, 'strerror', None) or 'not a text file'
        raise UserError(f'LongTailSubset: index_file {name}: {reason}') from error
    indices: list[int] = []
    seen: dict[int, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith('#'):
            continue
        fields = line.split()
        if len(fields) != 2 or not all(field.isascii() and field.isdigit() for field in fields):
            raise UserError(f"{name}:{number}: expected 'index label', got {line.strip()!r:.80}")
        index, label = map(int, fields)
        if index >= len(labels):
            raise UserError(
                f'{name}:{number}: there is no image {index}, the dataset has {len(labels)}: '
                'the list is of other data'
            )
        if label != labels[index]:
            raise UserError(
                f'{name}:{number}: image {index} is of class {labels[index]}, the list says '
                f'{label}: the list is of other data or of another order'
            )
        if index in seen:
            raise UserError(f'{name}:{number}: image {index} stands in line {seen[index]} already')
        seen[index] = number
        indices.append(index)
    if not indices:
        raise UserError(f'LongTailSubset: index_file {name} names no image')
    return np.array(indices, np.int64)

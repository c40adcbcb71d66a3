"""Long-tailed set of procedurally generated scenes with three targets."""

from bisect import bisect_right
from functools import lru_cache

import numpy as np
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from ..errors import UserError
from .long_tail import long_tailed_counts
from .scenes import DEPTH_EDGES, MAX_OBJECTS, NUM_KINDS, compose, kind_name, paint

__all__ = ['ScenesLT']

SPLITS = ('train', 'probe', 'test')
IMAGES_PER_KIND = dict(probe=100, test=50)
CLASSES = dict(
    kind=tuple(map(kind_name, range(NUM_KINDS))),
    count=tuple(map(str, range(1, MAX_OBJECTS + 1))),
    distance=tuple(f'{low:g}-{high:g}' for low, high in zip(DEPTH_EDGES, DEPTH_EDGES[1:])),
)


@DATASETS.register_module()
class ScenesLT(BaseDataset):
    r"""Scenes of 1 to 8 objects of one kind, with a power law of the kinds.

    .. math::
        n_{\sigma(r)} \propto r^{-a}, \qquad r = 1, \dots, 16

    with :math:`\sigma` a permutation of the kinds drawn from ``class_seed``,
    as in :class:`PatternsLT`. The same images serve three tasks, after the
    semantic, counting and distance tasks on public data:

    * ``kind``: which of 16 objects (silhouette and fill) the scene is made of;
    * ``count``: how many objects there are, eight classes;
    * ``distance``: bin of the nearest object's depth, four classes, with the
      lower edge in the bin.

    Count and distance are balanced and independent of the kind in every
    split; the splits ``probe`` and ``test`` are balanced in the kind too.
    Image ``i`` of kind ``k`` is a pure function of (image_seed, split, k, i)
    and of the size, the same for every target. Images are kept in memory:
    dicts with ``img`` (uint8, HWC, BGR) and ``gt_label``. A process renders a
    split once, whatever number of datasets ask for it.

    Args:
        split (str): 'train', 'probe' or 'test'. Defaults to 'train'.
        target (str): 'kind', 'count' or 'distance'. Defaults to 'kind'.
        num_images (int): Size of the train split. Defaults to 2400.
        images_per_kind (int, optional): Scenes of each kind in a balanced
            split. None means 100 for 'probe' and 50 for 'test'. Defaults to
            None.
        exponent (float): Power a of the train split; 0 is balanced. Every
            kind keeps at least one scene. Defaults to 1.0.
        class_seed (int): Seed of the permutation. Defaults to 0.
        image_seed (int): Seed of the images. Defaults to 0.
        image_size (int): Height and width in pixels. Defaults to 64.
        pipeline (Sequence): Transforms. Defaults to ().
        **kwargs: Other arguments of MMPretrain's ``BaseDataset``.

    Raises:
        ValueError: If an argument is outside its range.

    >>> data = ScenesLT(num_images=64, target='count')
    >>> len(data), data.metainfo['classes']
    (64, ('1', '2', '3', '4', '5', '6', '7', '8'))
    """

    def __init__(
        self,
        split='train',
        target='kind',
        num_images=2400,
        images_per_kind=None,
        exponent=1.0,
        class_seed=0,
        image_seed=0,
        image_size=64,
        pipeline=(),
        **kwargs,
    ):
        if split not in SPLITS:
            raise UserError(f'split must be one of {SPLITS}, got {split!r}')
        if target not in CLASSES:
            raise UserError(f'target must be one of {tuple(CLASSES)}, got {target!r}')
        if split == 'train' and images_per_kind is not None:
            raise UserError("images_per_kind is for balanced splits; 'train' takes num_images")
        _check('num_images', num_images, NUM_KINDS)
        _check('images_per_kind', 1 if images_per_kind is None else images_per_kind, 1)
        _check('class_seed', class_seed, 0)
        _check('image_seed', image_seed, 0)
        _check('image_size', image_size, 16)
        if not 0 <= exponent < np.inf:
            raise UserError(f'exponent must be a finite number >= 0, got {exponent!r}')
        self.split = split
        self.target = target
        self.num_images = num_images
        self.images_per_kind = images_per_kind
        self.exponent = exponent
        self.class_seed = class_seed
        self.image_seed = image_seed
        self.image_size = image_size
        super().__init__(ann_file='', pipeline=pipeline, **kwargs)
        self._metainfo.setdefault('classes', CLASSES[target])

    def kind_counts(self):
        """Number of scenes of each kind in this split, int64 of shape (16,)."""
        if self.split != 'train':
            size = self.images_per_kind or IMAGES_PER_KIND[self.split]
            return np.full(NUM_KINDS, size, np.int64)
        return long_tailed_counts(self.num_images, NUM_KINDS, self.exponent, self.class_seed)

    def load_data_list(self):
        """Render the split, kind by kind."""
        counts = tuple(map(int, self.kind_counts()))
        rendered = _render(SPLITS.index(self.split), counts, self.image_seed, self.image_size)
        return [
            dict(img=np.ascontiguousarray(image[..., ::-1]), gt_label=self._label(scene))
            for scene, image in rendered
        ]

    def _label(self, scene):
        if self.target == 'kind':
            return scene.kind
        if self.target == 'count':
            return len(scene.depths) - 1
        return bisect_right(DEPTH_EDGES, scene.depths[0]) - 1

    def extra_repr(self):
        """What tells this split from another."""
        return [
            f'Split: \t{self.split}',
            f'Target: \t{self.target}',
            f'Exponent: \t{self.exponent}',
            f'Seeds: \tclass {self.class_seed}, image {self.image_seed}',
        ]


# The three tasks of an evaluation ask of the same images: 10 seconds for each, else.
@lru_cache(maxsize=4)
def _render(split, counts, image_seed, size):
    """Scenes and RGB images of a split, kind by kind; nobody may write to them."""
    rendered = []
    for kind, count in enumerate(counts):
        for number in range(count):
            seed = np.random.SeedSequence(image_seed, spawn_key=(split, kind, number))
            rng = np.random.default_rng(seed)
            scene = compose(kind, rng)
            rendered.append((scene, paint(scene, rng, size)))
    return rendered


def _check(name, value, low):
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < low:
        raise UserError(f'ScenesLT: {name} must be an integer >= {low}, got {value!r}')

"""KITTI/Dist: how far away the nearest vehicle is."""

import math
import os
import os.path as osp
from bisect import bisect_left
from importlib import resources

from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from ..errors import UserError, printable
from .skip_undecodable import SkipUndecodable

__all__ = ['KittiDist']

SPLITS = ('train', 'val')
EDGES = (0, 8, 20)
VEHICLES = ('Car', 'Van', 'Truck')
FIELDS = 15  # type, truncated, occluded, alpha, bbox, dimensions, location, rotation
DEPTH = 13  # the z of the location


@DATASETS.register_module()
class KittiDist(SkipUndecodable, BaseDataset):
    r"""KITTI/Dist: the forward distance of the nearest vehicle, as four classes.

    .. math::
        d = \min_{o \in \{Car, Van, Truck\}} z_o, \qquad
        \text{none},\ (0, 8],\ (8, 20],\ (20, \infty)

    in metres, of the whole image. Reads the left colour images and the labels
    of the object detection benchmark as they unpack::

        data_root/
          training/image_2/<number>.png
          training/label_2/<number>.txt

    The benchmark has no public validation split. The numbers of 1,496 of its
    7,481 images, drawn by ``numpy.random.default_rng(0).permutation(7481)``
    and shipped as ``mmssl_prior/datasets/splits/kitti_dist_val.txt``, are the
    'val' split, the others 'train'.

    Args:
        data_root (str): Folder of the download. Defaults to 'data/kitti'.
        split (str): 'train' or 'val'. Defaults to 'train'.
        pipeline (Sequence): Transforms. Defaults to ().
        **kwargs: Other arguments of MMPretrain's ``BaseDataset``.

    Raises:
        UserError: If the split is neither, a folder or a label file is
            missing, or a line of one is malformed; the file and the line are
            named.

    References:
        Geiger et al., Are we ready for Autonomous Driving? The KITTI Vision
        Benchmark Suite, CVPR 2012; Zhai et al., A Large-scale Study of
        Representation Learning with the Visual Task Adaptation Benchmark,
        2019.
    """

    METAINFO = dict(classes=('no vehicle', '0-8 m', '8-20 m', '>20 m'))

    def __init__(self, data_root='data/kitti', split='train', pipeline=(), **kwargs):
        if split not in SPLITS:
            raise UserError(f'split must be one of {SPLITS}, got {split!r}')
        self.split = split
        super().__init__(
            ann_file='', data_root=osp.expanduser(data_root), pipeline=pipeline, **kwargs
        )

    def load_data_list(self):
        """Read the label file of each image of the split."""
        images, labels = (
            osp.join(self.img_prefix, 'training', name) for name in ('image_2', 'label_2')
        )
        for folder, archive in ((images, 'data_object_image_2'), (labels, 'data_object_label_2')):
            if not osp.isdir(folder):
                raise UserError(
                    f'KITTI/Dist: the folder {printable(osp.abspath(folder))} does not exist; '
                    f'unpack {archive}.zip of the object detection benchmark, or set data_root of '
                    'the dataset'
                )
        held_out = _held_out()
        names = sorted(_stems(images, '.png'))
        chosen = [name for name in names if (name in held_out) == (self.split == 'val')]
        if not chosen:
            raise UserError(
                f'KITTI/Dist: {printable(osp.abspath(images))} holds no image of the {self.split} '
                'split (<number of six digits>.png)'
            )
        return [
            dict(
                img_path=osp.join(images, f'{name}.png'),
                gt_label=_label(osp.join(labels, f'{name}.txt')),
            )
            for name in chosen
        ]


def _stems(folder, suffix):
    return [name.removesuffix(suffix) for name in os.listdir(folder) if name.endswith(suffix)]


def _held_out():
    text = resources.files(__package__).joinpath('splits/kitti_dist_val.txt').read_text()
    return frozenset(text.split())


def _label(path):
    """Class of an image, from its label file."""
    try:
        with open(path, encoding='ascii') as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        raise UserError(
            f'KITTI/Dist: the label file {printable(path)} does not exist; unpack '
            'data_object_label_2.zip again'
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'KITTI/Dist: {printable(path)}: cannot be read: {error}') from error
    depths = [_depth(line, path, number) for number, line in enumerate(lines, 1) if line.strip()]
    vehicles = [depth for depth in depths if depth is not None]
    return bisect_left(EDGES, min(vehicles)) if vehicles else 0


def _depth(line, path, number):
    """Forward distance of a vehicle, None for anything else."""
    fields = line.split()
    depth = math.nan
    if len(fields) >= FIELDS:
        try:
            depth = float(fields[DEPTH])
        except ValueError:
            pass
    if not math.isfinite(depth):
        raise UserError(
            f'{printable(path)}, line {number}: expected {FIELDS} fields with a number as the '
            f'{DEPTH + 1}th, got {line!r:.100}'
        )
    return depth if fields[0] in VEHICLES else None

"""Places205, from the raw download."""

import os.path as osp

from mmpretrain.datasets import BaseDataset, Places205
from mmpretrain.registry import DATASETS

from ..errors import UserError, printable
from .listed_paths import check_listed
from .skip_undecodable import SkipUndecodable

__all__ = ['Places205CSV']

SPLITS = ('train', 'val')
NUM_CLASSES = 205
IMAGE_DIR = 'data/vision/torralba/deeplearning/images256'
SPLIT_DIR = 'trainvalsplit_places205'


@DATASETS.register_module()
class Places205CSV(SkipUndecodable, BaseDataset):
    """Places205 as the archives unpack, where MMPretrain's class wants lists of its own.

    ::

        data_root/
          data/vision/torralba/deeplearning/images256/<letter>/<class>/*.jpg
          trainvalsplit_places205/{train,val}_places205.csv

    The csv files have lines ``<path below images256> <label>``, separated by
    a space, without a header.

    Args:
        data_root (str): Folder of the download. Defaults to 'data/places205'.
        split (str): 'train' or 'val'. Defaults to 'train'.
        pipeline (Sequence): Transforms. Defaults to ().
        **kwargs: Other arguments of MMPretrain's ``BaseDataset``.

    Raises:
        UserError: If the split is neither, a file or folder is missing, or a
            line is malformed; the file and the line are named.

    References:
        Zhou et al., Learning Deep Features for Scene Recognition using Places
        Database, NeurIPS 2014.
    """

    METAINFO = Places205.METAINFO

    def __init__(self, data_root='data/places205', split='train', pipeline=(), **kwargs):
        if split not in SPLITS:
            raise UserError(f'split must be one of {SPLITS}, got {split!r}')
        self.split = split
        super().__init__(
            ann_file=f'{SPLIT_DIR}/{split}_places205.csv',
            data_root=osp.expanduser(data_root),
            pipeline=pipeline,
            **kwargs,
        )

    def load_data_list(self):
        """Read the list of the split; the images are looked at when they are loaded."""
        images = osp.join(self.img_prefix, IMAGE_DIR)
        for exists, path, archive in (
            (osp.isfile, self.ann_file, f'{SPLIT_DIR}.tar.gz'),
            (osp.isdir, images, 'imagesPlaces205_resize.tar.gz'),
        ):
            if not exists(path):
                raise UserError(
                    f'Places205 ({self.split} split): {printable(osp.abspath(path))} does not '
                    f'exist; unpack {archive}, or set data_root of the dataset'
                )
        try:
            with open(self.ann_file, encoding='utf-8') as file:
                data_list = [
                    self._entry(line, number, images)
                    for number, line in enumerate(file, 1)
                    if line.strip()
                ]
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f'{printable(self.ann_file)}: cannot be read: {error}') from error
        if not data_list:
            raise UserError(f'{printable(self.ann_file)}: the list is empty')
        return data_list

    def _entry(self, line, number, images):
        path, _, label = line.strip().rpartition(' ')
        if not (path and label.isascii() and label.isdigit()):
            raise UserError(
                f'{printable(self.ann_file)}, line {number}: expected a path and a label, got '
                f'{line.strip()!r:.100}'
            )
        if int(label) >= NUM_CLASSES:
            raise UserError(
                f'{printable(self.ann_file)}, line {number}: label {label} is out of range, '
                f'expected 0 to {NUM_CLASSES - 1}'
            )
        check_listed(path, f'{printable(self.ann_file)}, line {number}')
        return dict(img_path=osp.join(images, path), gt_label=int(label))

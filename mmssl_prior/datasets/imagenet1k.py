"""ImageNet-1K, from the raw download."""

import os.path as osp

from mmpretrain.datasets import ImageNet
from mmpretrain.registry import DATASETS

from ..errors import UserError, printable
from .listed_paths import check_listed_file
from .skip_undecodable import SkipUndecodable

__all__ = ['ImageNet1K']

NUM_CLASSES = 1000
SPLITS = ('train', 'val')


@DATASETS.register_module()
class ImageNet1K(SkipUndecodable, ImageNet):
    """MMPretrain's ImageNet, which survives an undecodable image and says what is missing.

    ::

        data_root/
          train/<wnid>/*.JPEG
          val/<wnid>/*.JPEG

    An image's label is the place of its wnid among the 1,000 in sorted order.
    A folder ``meta`` with lists, as older tools make it, is used as
    MMPretrain uses it.

    Args:
        data_root (str): Folder of both splits. Defaults to 'data/imagenet'.
        split (str): 'train' or 'val'. Defaults to 'train'.
        pipeline (Sequence): Transforms. Defaults to ().
        **kwargs: Other arguments of MMPretrain's ``ImageNet``.

    Raises:
        UserError: If the split is neither, its folder is missing, or it does
            not hold 1,000 class folders.

    References:
        Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge,
        IJCV 2015.
    """

    def __init__(self, data_root='data/imagenet', split='train', pipeline=(), **kwargs):
        if split not in SPLITS:
            raise UserError(f'split must be one of {SPLITS}, got {split!r}')
        self.split = split
        super().__init__(
            data_root=osp.expanduser(data_root), split=split, pipeline=pipeline, **kwargs
        )

    def load_data_list(self):
        """List the split."""
        folder = self.img_prefix
        where = printable(osp.abspath(folder))
        if not osp.isdir(folder):
            raise UserError(
                f'ImageNet-1K ({self.split} split): the folder {where} does not exist; expected '
                f'{self.split}/<wnid>/*.JPEG there (the archives of ILSVRC 2012, the validation '
                'images sorted into folders of their wnid), or set data_root of the dataset'
            )
        if self.ann_file and osp.isfile(self.ann_file):
            check_listed_file(self.ann_file)
        try:
            return super().load_data_list()
        except (AssertionError, RuntimeError) as error:
            # How the stock class says that it found other folders, or no file.
            raise UserError(
                f'ImageNet-1K ({self.split} split): {where} must hold {NUM_CLASSES} folders of '
                f'images, one for each wnid: {error}'
            ) from error

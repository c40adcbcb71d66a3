"""Images without labels, wherever they lie below a folder."""

import os.path as osp

from mmpretrain.datasets import CustomDataset
from mmpretrain.registry import DATASETS

from ..errors import UserError
from .skip_undecodable import SkipUndecodable

__all__ = ['ImageFolder']


@DATASETS.register_module()
class ImageFolder(SkipUndecodable, CustomDataset):
    """All images of a folder, flat or nested, without labels.

    MMPretrain's ``CustomDataset`` with ``with_label=False``; images that
    cannot be decoded are replaced in training (see :class:`SkipUndecodable`).

    Args:
        data_root (str): The folder.
        pipeline (Sequence): Transforms. Defaults to ().
        **kwargs: Other arguments of MMPretrain's ``CustomDataset``, such as
            ``extensions``.

    Raises:
        UserError: If the folder does not exist or holds no image.
    """

    def __init__(self, data_root, pipeline=(), **kwargs):
        super().__init__(data_root=data_root, with_label=False, pipeline=pipeline, **kwargs)

    def load_data_list(self):
        """Find the images."""
        folder = self.img_prefix
        if not osp.isdir(folder):
            raise UserError(
                f'ImageFolder: {osp.abspath(folder)} is not a folder: set data_root of the dataset'
            )
        try:
            data_list = super().load_data_list()
        except RuntimeError as error:  # how the stock class says that it found nothing
            raise UserError(
                f'ImageFolder: no image below {osp.abspath(folder)} (looked for '
                f'{", ".join(sorted(self.extensions))}): set data_root of the dataset'
            ) from error
        # File systems have orders of their own; an index must mean the same image on all ranks.
        return sorted(data_list, key=lambda info: info['img_path'])

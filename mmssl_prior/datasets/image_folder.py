"""Images without labels, wherever they lie below a folder."""

import os
import os.path as osp

from mmpretrain.datasets import CustomDataset
from mmpretrain.registry import DATASETS

from ..errors import UserError, printable
from .folder_scan import IMAGE_EXTENSIONS, FolderScan, scan_folder
from .listed_paths import check_listed_file
from .skip_undecodable import SkipUndecodable

__all__ = ['ImageFolder']

REMEDY = (
    'set data_root of the dataset (in a training DATA_ROOT=PATH before the command, or '
    '--cfg-options train_dataloader.dataset.data_root=PATH; in an export --data PATH)'
)


@DATASETS.register_module()
class ImageFolder(SkipUndecodable, CustomDataset):
    """All images of a folder, flat or nested, without labels.

    MMPretrain's ``CustomDataset`` with ``with_label=False``, more formats and
    files of zero bytes left out; images that cannot be decoded are replaced
    in training (see :class:`SkipUndecodable`). ``scan`` tells what was found
    and what was left out (:class:`FolderScan`, its list of images emptied);
    it is None with an annotation file.

    Args:
        data_root (str): The folder.
        pipeline (Sequence): Transforms. Defaults to ().
        extensions (Sequence[str]): What an image's name may end in, in any
            case. Defaults to the usual ones of BMP, GIF, JPEG, PNG, PNM, TIFF
            and WebP.
        **kwargs: Other arguments of MMPretrain's ``CustomDataset``, such as
            ``ann_file``, a list of paths below the folder, one a line.

    Raises:
        UserError: If the folder does not exist, cannot be read or holds no
            image, or the annotation file cannot be read or has paths that do
            not exist.
    """

    scan: FolderScan | None = None

    def __init__(self, data_root, pipeline=(), extensions=IMAGE_EXTENSIONS, **kwargs):
        super().__init__(
            # No shell expands a tilde after `data_root=`.
            data_root=osp.expanduser(data_root),
            with_label=False,
            pipeline=pipeline,
            extensions=extensions,
            **kwargs,
        )

    def load_data_list(self):
        """Find the images."""
        folder = self.img_prefix
        if not osp.isdir(folder):
            raise UserError(f'ImageFolder: {_absolute(folder)} is not a folder: {REMEDY}')
        if self.ann_file:
            return self._listed()
        # In an order of our own: an index must mean the same image on all ranks.
        scan = scan_folder(folder, self.extensions)
        self.scan = scan._replace(images=[])
        for path, reason in scan.unreadable:
            if path == os.fspath(folder):
                raise UserError(f'ImageFolder: {_absolute(folder)} cannot be read: {reason}')
        if not scan.images:
            skipped = self.scan.skipped()
            raise UserError(
                f'ImageFolder: no image below {_absolute(folder)} (looked for '
                f'{", ".join(sorted(self.extensions))}'
                f'{f"; found {skipped}" if skipped else ""}): {REMEDY}'
            )
        return [dict(img_path=path) for path in scan.images]

    def _listed(self):
        """The images that the annotation file names."""
        if not osp.isfile(self.ann_file):
            raise UserError(
                f'ImageFolder: ann_file {printable(self.ann_file)} is not a file: expected one '
                'path a line, relative to the folder'
            )
        try:
            check_listed_file(self.ann_file)
            data_list = super().load_data_list()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, 'strerror', None) or 'not UTF-8'
            raise UserError(
                f'ImageFolder: ann_file {printable(self.ann_file)} cannot be read: {reason}'
            ) from error
        missing = [info['img_path'] for info in data_list if not osp.isfile(info['img_path'])]
        if missing:
            raise UserError(
                f'ImageFolder: {len(missing)} of {len(data_list)} paths in '
                f'{printable(self.ann_file)} do not exist, the first is {printable(missing[0])}: '
                f'paths are relative to {_absolute(self.img_prefix)}, one a line, without labels'
            )
        if not data_list:
            raise UserError(f'ImageFolder: ann_file {printable(self.ann_file)} names no image')
        return data_list


def _absolute(folder):
    return printable(osp.abspath(folder))

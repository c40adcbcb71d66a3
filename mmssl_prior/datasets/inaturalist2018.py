"""iNaturalist 2018, from the raw download."""

import json
import os.path as osp

from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from ..errors import UserError
from .listed_paths import check_listed
from .skip_undecodable import SkipUndecodable

__all__ = ['INaturalist2018']

NUM_CLASSES = 8142
IMAGE_DIR = 'train_val2018'
SPLITS = ('train', 'val')
TARGETS = ('species', 'supercategory')
SUPERCATEGORIES = (
    'Actinopterygii',
    'Amphibia',
    'Animalia',
    'Arachnida',
    'Aves',
    'Bacteria',
    'Chromista',
    'Fungi',
    'Insecta',
    'Mammalia',
    'Mollusca',
    'Plantae',
    'Protozoa',
    'Reptilia',
)


@DATASETS.register_module()
class INaturalist2018(SkipUndecodable, BaseDataset):
    """iNaturalist 2018: 8,142 species, naturally long-tailed.

    Reads the official archives as they unpack::

        data_root/
          train2018.json, val2018.json
          train_val2018/<Supercategory>/<class_id>/<file>.jpg

    An image's label is the number ``class_id`` in its path, 0 to 8141,
    whichever classes a split holds, or the place of its supercategory among
    the 14 in alphabetical order. Images that cannot be decoded are
    replaced in training (see :class:`SkipUndecodable`).

    Args:
        data_root (str): Folder of the download. Defaults to
            'data/inaturalist2018'.
        split (str): 'train' or 'val'. Defaults to 'train'.
        ann_file (str): Another annotation file of the same format, absolute
            or relative to ``data_root``. Empty means that of the split.
            Defaults to ''.
        pipeline (Sequence): Transforms. Defaults to ().
        target (str): What the label is, 'species' or 'supercategory'.
            Defaults to 'species'.
        **kwargs: Other arguments of MMPretrain's ``BaseDataset``.

    Raises:
        ValueError: If ``split`` or ``target`` is neither.
        UserError: If a file or folder is missing or malformed; one line that
            says which, where it is expected and how to get it.

    References:
        Van Horn et al., The iNaturalist Species Classification and Detection
        Dataset, CVPR 2018.
    """

    def __init__(
        self,
        data_root='data/inaturalist2018',
        split='train',
        ann_file='',
        pipeline=(),
        target='species',
        **kwargs,
    ):
        if split not in SPLITS:
            raise UserError(f'split must be one of {SPLITS}, got {split!r}')
        if target not in TARGETS:
            raise UserError(f'target must be one of {TARGETS}, got {target!r}')
        self.split = split
        self.target = target
        super().__init__(
            ann_file=ann_file or f'{split}2018.json',
            data_root=osp.expanduser(data_root),
            pipeline=pipeline,
            **kwargs,
        )

    def load_data_list(self):
        """Read the annotation file; the images are looked at when they are loaded."""
        self._require(
            osp.isdir,
            self.data_root or '.',
            'the data folder',
            'train_val2018.tar.gz, train2018.json.tar.gz and val2018.json.tar.gz',
        )
        self._require(
            osp.isfile,
            self.ann_file,
            'the annotation file',
            f'{osp.basename(self.ann_file)}.tar.gz',
        )
        folder = osp.join(self.img_prefix, IMAGE_DIR)
        self._require(osp.isdir, folder, 'the image folder', f'{IMAGE_DIR}.tar.gz')
        content = _read(self.ann_file)
        of_species = self.target == 'species'
        classes = _class_names(content.get('categories')) if of_species else SUPERCATEGORIES
        self._metainfo.setdefault('classes', classes)
        data_list = []
        for number, name in enumerate(content['images']):
            label = _label(name, number, self.ann_file)
            if not of_species:
                label = _supercategory(name, number, self.ann_file)
            data_list.append(dict(img_path=osp.join(self.img_prefix, name), gt_label=label))
        return data_list

    def _require(self, exists, path, what, archives):
        if not exists(path):
            raise UserError(
                f'iNaturalist 2018 ({self.split} split): {what} {osp.abspath(path)} does not '
                f'exist; download {archives} of the iNaturalist 2018 competition and unpack there, '
                'or set data_root of the dataset (--cfg-options with '
                'train_dataloader.dataset.data_root=PATH, val_dataloader.dataset.data_root=PATH '
                'and val_cfg.bank_dataloader.dataset.data_root=PATH)'
            )


def _read(ann_file):
    """The annotation file, with each image reduced to its file name.

    Reducing the entries while they are parsed bounds the memory.
    """

    def reduced(entry):
        if 'images' in entry:
            return entry
        if isinstance(entry.get('file_name'), str):
            return entry['file_name']
        return None if 'image_id' in entry else entry

    try:
        with open(ann_file, encoding='utf-8') as file:
            content = json.load(file, object_hook=reduced)
    except (ValueError, RecursionError) as error:
        raise UserError(f'{ann_file}: not a JSON file ({error}); unpack it again') from error
    except OSError as error:
        raise UserError(f'{ann_file}: cannot be read: {error.strerror}') from error
    images = content.get('images') if isinstance(content, dict) else None
    if not isinstance(images, list):
        raise UserError(
            f"{ann_file}: no list 'images'; expected the COCO style file of the "
            'iNaturalist 2018 competition'
        )
    if not images:
        raise UserError(f"{ann_file}: the list 'images' is empty")
    return content


def _label(name, number, ann_file):
    """The number of the class, from the path of the image."""
    if not isinstance(name, str):
        raise UserError(f"{ann_file}: images[{number}] has no 'file_name': {name!r:.80}")
    check_listed(name, f'{ann_file}: images[{number}]')
    parts = name.split('/')
    if len(parts) != 4 or not (parts[2].isascii() and parts[2].isdigit()):
        raise UserError(
            f'{ann_file}: images[{number}]: file_name {name!r:.80} is not of the form '
            f'{IMAGE_DIR}/<Supercategory>/<class_id>/<file>'
        )
    label = int(parts[2])
    if label >= NUM_CLASSES:
        raise UserError(
            f'{ann_file}: images[{number}]: class {label} in file_name {name!r:.80} is '
            f'out of range, expected 0 to {NUM_CLASSES - 1}'
        )
    return label


def _supercategory(name, number, ann_file):
    """The place of the supercategory, from the path of the image."""
    supercategory = name.split('/')[1]
    if supercategory not in SUPERCATEGORIES:
        raise UserError(
            f'{ann_file}: images[{number}]: unknown supercategory in file_name {name!r:.80}, '
            f'expected one of {", ".join(SUPERCATEGORIES)}'
        )
    return SUPERCATEGORIES.index(supercategory)


def _class_names(categories):
    """Names by label; the number stands in where there is none."""
    names = [str(label) for label in range(NUM_CLASSES)]
    for category in categories if isinstance(categories, list) else ():
        if not isinstance(category, dict):
            continue
        label, name = category.get('id'), category.get('name')
        if isinstance(label, int) and 0 <= label < NUM_CLASSES and isinstance(name, str):
            names[label] = name
    return tuple(names)

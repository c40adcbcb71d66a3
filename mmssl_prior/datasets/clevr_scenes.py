"""CLEVR's scene files, the common part of the tasks that are made from them."""

import json
import math
import os.path as osp
from typing import NamedTuple

from mmpretrain.datasets import BaseDataset

from ..errors import UserError, printable
from .listed_paths import check_listed
from .skip_undecodable import SkipUndecodable

__all__ = ['ClevrScenes', 'Scene']

SPLITS = ('train', 'val')


class Scene(NamedTuple):
    """What the tasks need of a scene: the image's name and the depth of each object."""

    image: str
    depths: list[float]


class ClevrScenes(SkipUndecodable, BaseDataset):
    """Base of the tasks on CLEVR v1.0, read as the archive unpacks.

    ::

        data_root/
          images/{train,val}/CLEVR_<split>_<number>.png
          scenes/CLEVR_{train,val}_scenes.json

    A subclass defines ``task``, the classes in ``METAINFO`` and
    ``label(depths)``. Scenes are reduced while the file is parsed, which
    bounds the memory.

    Args:
        data_root (str): Folder of the download. Defaults to
            'data/CLEVR_v1.0'.
        split (str): 'train' or 'val'. Defaults to 'train'.
        pipeline (Sequence): Transforms. Defaults to ().
        **kwargs: Other arguments of MMPretrain's ``BaseDataset``.

    Raises:
        UserError: If the split is neither, a file or folder is missing, or a
            scene is malformed; one line that names it.

    References:
        Johnson et al., CLEVR: A Diagnostic Dataset for Compositional Language
        and Elementary Visual Reasoning, CVPR 2017.
    """

    task = ''

    def __init__(self, data_root='data/CLEVR_v1.0', split='train', pipeline=(), **kwargs):
        if split not in SPLITS:
            raise UserError(f'split must be one of {SPLITS}, got {split!r}')
        self.split = split
        super().__init__(
            ann_file=f'scenes/CLEVR_{split}_scenes.json',
            data_root=osp.expanduser(data_root),
            pipeline=pipeline,
            **kwargs,
        )

    def label(self, depths):
        """Class of a scene, from the depths of its objects.

        Raises:
            ValueError: If the scene belongs to no class.
        """
        raise NotImplementedError

    def load_data_list(self):
        """Read the scenes of the split."""
        images = osp.join(self.img_prefix, 'images', self.split)
        for exists, path in ((osp.isfile, self.ann_file), (osp.isdir, images)):
            if not exists(path):
                raise UserError(
                    f'{self.task} ({self.split} split): {printable(osp.abspath(path))} does not '
                    'exist; unpack CLEVR_v1.0.zip and set data_root of the dataset to the folder '
                    'CLEVR_v1.0'
                )
        data_list = []
        for number, entry in enumerate(_read(self.ann_file)):
            where = f'{printable(self.ann_file)}: scenes[{number}]'
            if not isinstance(entry, Scene):
                raise UserError(
                    f"{where} has no 'image_filename' or a malformed list 'objects' (each needs "
                    "'pixel_coords' of three numbers); unpack the archive again"
                )
            check_listed(entry.image, where)
            try:
                label = self.label(entry.depths)
            except ValueError as error:
                raise UserError(f'{where} ({entry.image}): {error}') from error
            data_list.append(dict(img_path=osp.join(images, entry.image), gt_label=label))
        return data_list


def _reduced(entry):
    """Hook of the parser: an object becomes its depth, a scene a Scene, what is wrong None."""
    if 'pixel_coords' in entry:
        coords = entry['pixel_coords']
        if isinstance(coords, list) and len(coords) == 3 and _is_number(coords[2]):
            return float(coords[2])
        return None
    if 'image_filename' in entry or 'objects' in entry:
        name, depths = entry.get('image_filename'), entry.get('objects')
        good = isinstance(name, str) and isinstance(depths, list)
        if good and all(isinstance(depth, float) for depth in depths):
            return Scene(name, depths)
        return None
    # Relations and directions, most of the file, are not needed.
    return entry if 'scenes' in entry else None


def _is_number(value):
    return isinstance(value, (int, float)) and math.isfinite(value)


def _read(ann_file):
    try:
        with open(ann_file, encoding='utf-8') as file:
            content = json.load(file, object_hook=_reduced)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f'{printable(ann_file)}: not a JSON file ({error}); unpack the archive again'
        ) from error
    except OSError as error:
        raise UserError(f'{printable(ann_file)}: cannot be read: {error.strerror}') from error
    scenes = content.get('scenes') if isinstance(content, dict) else None
    if not isinstance(scenes, list) or not scenes:
        raise UserError(f"{printable(ann_file)}: no list 'scenes', or an empty one")
    return scenes

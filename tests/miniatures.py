"""Small copies of public datasets, in the very format of their downloads."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

SUPERCATEGORIES = ('Aves', 'Insecta', 'Plantae')


def make_inaturalist2018(
    root, counts=((0, 4), (7, 2), (8141, 1)), val_per_class=1, size=(60, 44), names=True, seed=0
):
    """Write a miniature of the iNaturalist 2018 download.

    Args:
        root (str | Path): Folder to make; `data_root` of the dataset.
        counts (Iterable[tuple[int, int]] | dict): Number of training images
            by class id.
        val_per_class (int): Number of validation images of each class.
        size (tuple[int, int]): Width and height. Every class has a colour of
            its own under coarse noise.
        names (bool): Whether the categories are named.
        seed (int): Seed of the images.

    Returns:
        Path: `root`.
    """
    root = Path(root)
    rng = np.random.default_rng(seed)
    counts = dict(counts)
    categories = [
        dict(
            id=label,
            supercategory=_supercategory(label),
            **(dict(name=f'Species {label}') if names else {}),
        )
        for label in sorted(counts)
    ]
    number = 0
    for split in ('train', 'val'):
        images, annotations = [], []
        for label in sorted(counts):
            for _ in range(counts[label] if split == 'train' else val_per_class):
                name = f'train_val2018/{_supercategory(label)}/{label}/{number:032x}.jpg'
                _write_image(root / name, label, size, rng)
                images.append(
                    dict(
                        id=number,
                        file_name=name,
                        width=size[0],
                        height=size[1],
                        license=1,
                        rights_holder='nobody',
                    )
                )
                annotations.append(dict(id=number, image_id=number, category_id=label))
                number += 1
        content = dict(
            info=dict(year=2018),
            licenses=[dict(id=1, name='none', url='')],
            categories=categories,
            images=images,
            annotations=annotations,
        )
        (root / f'{split}2018.json').write_text(json.dumps(content), encoding='utf-8')
    return root


def _supercategory(label):
    return SUPERCATEGORIES[label % len(SUPERCATEGORIES)]


def _write_image(path, label, size, rng):
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = np.random.default_rng(label).integers(40, 215, 3)
    coarse = np.clip(colour + rng.integers(-40, 41, (8, 8, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)


def make_imagenet(root, images_per_class=2, num_classes=1000, size=(40, 32), seed=0):
    """Write a miniature of the ImageNet-1K download: {train,val}/<wnid>/*.JPEG.

    Args:
        root (str | Path): Folder to make.
        images_per_class (int): In each split.
        num_classes (int): Number of wnid folders; the dataset class wants 1000.
        size (tuple[int, int]): Width and height.
        seed (int): Seed of the images.

    Returns:
        Path: `root`.
    """
    root = Path(root)
    rng = np.random.default_rng(seed)
    for split in ('train', 'val'):
        for label in range(num_classes):
            for i in range(images_per_class):
                _write_image(root / split / f'n{label:08d}' / f'{split}_{i}.JPEG', label, size, rng)
    return root

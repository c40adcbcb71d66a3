"""Small copies of public datasets, in the very format of their downloads."""

import json
import pickle
from importlib import resources
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


def make_clevr(root, depths=((8.0, 9.0, 11.0), (9.7,) * 10), size=(48, 32), seed=0):
    """Write a miniature of CLEVR v1.0.

    Args:
        root (str | Path): Folder to make; `data_root` of the datasets.
        depths (Iterable[Sequence[float]]): Of the objects of each scene, the
            same in both splits.
        size (tuple[int, int]): Width and height.
        seed (int): Seed of the images.

    Returns:
        Path: `root`.
    """
    root = Path(root)
    rng = np.random.default_rng(seed)
    (root / 'scenes').mkdir(parents=True)
    for split in ('train', 'val'):
        scenes = []
        for number, objects in enumerate(depths):
            name = f'CLEVR_{split}_{number:06d}.png'
            _write_image(root / 'images' / split / name, len(objects), size, rng)
            scenes.append(
                dict(
                    image_index=number,
                    image_filename=name,
                    split=split,
                    objects=[_clevr_object(depth) for depth in objects],
                    relations=dict(left=[[] for _ in objects]),
                    directions=dict(left=[-0.6, -0.8, 0.0]),
                )
            )
        content = dict(info=dict(split=split, version='1.0'), scenes=scenes)
        (root / 'scenes' / f'CLEVR_{split}_scenes.json').write_text(json.dumps(content))
    return root


def _clevr_object(depth):
    return {
        '3d_coords': [0.1, -2.0, 0.35],
        'pixel_coords': [120, 90, depth],
        'rotation': 10.0,
        'size': 'small',
        'color': 'red',
        'material': 'metal',
        'shape': 'cube',
    }


def kitti_line(kind='Car', depth=12.5):
    """A line of a KITTI label file."""
    return f'{kind} 0.00 0 -1.58 587.0 173.3 614.1 200.1 1.65 1.67 3.64 -0.65 1.71 {depth} -1.59'


def make_kitti(root, depths=(None, 5.0, 12.0, 30.0), per_split=4, size=(62, 20), seed=0):
    """Write a miniature of KITTI's object detection benchmark.

    Args:
        root (str | Path): Folder to make; `data_root` of the dataset.
        depths (Sequence[float | None]): Distance of the one car of an image,
            None for no vehicle; dealt to the images of each split in turn.
        per_split (int): Number of images in each split of `KittiDist`.
        size (tuple[int, int]): Width and height.
        seed (int): Seed of the images.

    Returns:
        Path: `root`.
    """
    root = Path(root)
    rng = np.random.default_rng(seed)
    lists = resources.files('mmssl_prior.datasets').joinpath('splits', 'kitti_dist_val.txt')
    held_out = lists.read_text().split()
    others = [name for name in (f'{i:06d}' for i in range(7481)) if name not in set(held_out)]
    (root / 'training' / 'label_2').mkdir(parents=True)
    for names in (held_out[:per_split], others[:per_split]):
        for number, name in enumerate(names):
            depth = depths[number % len(depths)]
            line = kitti_line('Pedestrian', 3.0) if depth is None else kitti_line('Car', depth)
            _write_image(
                root / 'training' / 'image_2' / f'{name}.png', number % len(depths), size, rng
            )
            (root / 'training' / 'label_2' / f'{name}.txt').write_text(line + '\n')
    return root


def make_places205(root, labels=(0, 3, 204), per_class=2, size=(40, 32), seed=0):
    """Write a miniature of Places205, with its csv files."""
    root = Path(root)
    rng = np.random.default_rng(seed)
    (root / 'trainvalsplit_places205').mkdir(parents=True)
    images = root / 'data' / 'vision' / 'torralba' / 'deeplearning' / 'images256'
    for split in ('train', 'val'):
        lines = []
        for label in labels:
            for i in range(per_class):
                name = f'p/place_{label}/gsun_{split}_{i}.jpg'
                _write_image(images / name, label, size, rng)
                lines.append(f'{name} {label}\n')
        (root / 'trainvalsplit_places205' / f'{split}_places205.csv').write_text(''.join(lines))
    return root


def make_cifar100(root, labels=tuple(range(100)), seed=0):
    """Write a miniature of the CIFAR-100 archive for Python: one image of each label."""
    root = Path(root)
    rng = np.random.default_rng(seed)
    folder = root / 'cifar-100-python'
    folder.mkdir(parents=True)
    for split in ('train', 'test'):
        colours = np.stack([np.random.default_rng(label).integers(40, 215, 3) for label in labels])
        data = colours[:, :, None] + rng.integers(-20, 21, (len(labels), 3, 1024))
        content = dict(
            filenames=[f'{split}_{i}.png' for i in range(len(labels))],
            batch_label=f'{split}ing batch 1 of 1',
            fine_labels=list(labels),
            coarse_labels=[label // 5 for label in labels],
            data=np.clip(data, 0, 255).astype(np.uint8).reshape(len(labels), 3072),
        )
        (folder / split).write_bytes(pickle.dumps(content, protocol=2))
    (folder / 'meta').write_bytes(pickle.dumps(dict(fine_label_names=[], coarse_label_names=[])))
    return root

import math
from importlib import resources

import numpy as np
import pytest
from mmpretrain.registry import DATASETS

from mmssl_prior.datasets import KittiDist, LoadImage
from mmssl_prior.errors import UserError
from tests.miniatures import kitti_line, make_kitti


def label_of(tmp_path, *lines):
    root = make_kitti(tmp_path / 'kitti', per_split=1)
    (file,) = [
        path
        for path in (root / 'training' / 'label_2').iterdir()
        if path.stem not in published_split()
    ]
    file.write_text('\n'.join(lines))
    return KittiDist(str(root)).get_gt_labels().tolist()[0]


def published_split():
    folder = resources.files('mmssl_prior.datasets')
    return folder.joinpath('splits', 'kitti_dist_val.txt').read_text().split()


def test_published_split_is_the_stated_draw():
    numbers = np.sort(np.random.default_rng(0).permutation(7481)[:1496])
    assert published_split() == [f'{number:06d}' for number in numbers]


def test_splits_are_disjoint_and_whole(tmp_path):
    root = make_kitti(tmp_path / 'kitti')
    paths = {}
    for split in ('train', 'val'):
        data = DATASETS.build(dict(type='KittiDist', data_root=str(root), split=split))
        assert data.get_gt_labels().tolist() == [0, 1, 2, 3]
        paths[split] = {data.get_data_info(i)['img_path'] for i in range(4)}
    assert not paths['train'] & paths['val'] and len(paths['train'] | paths['val']) == 8
    assert all(path.rsplit('/', 1)[1][:6] in published_split() for path in paths['val'])
    assert KittiDist(str(root), pipeline=[LoadImage()])[0]['img'].shape == (20, 62, 3)
    assert len(data.metainfo['classes']) == 4


@pytest.mark.parametrize(('edge', 'at', 'above'), [(8.0, 1, 2), (20.0, 2, 3)])
def test_an_edge_belongs_to_the_bin_below_it(tmp_path, edge, at, above):
    cases = (math.nextafter(edge, 0), edge, math.nextafter(edge, 100))
    labels = [
        label_of(tmp_path / str(i), kitti_line('Car', repr(depth))) for i, depth in enumerate(cases)
    ]
    assert labels == [at, at, above]


def test_nearest_vehicle_counts_and_nothing_else(tmp_path):
    lines = [kitti_line('Truck', 25.0), kitti_line('Van', 9.0), kitti_line('Pedestrian', 2.0)]
    assert label_of(tmp_path / 'a', *lines) == 2
    assert label_of(tmp_path / 'b', kitti_line('DontCare', -1000), kitti_line('Tram', 4)) == 0
    assert label_of(tmp_path / 'c', '') == 0
    assert label_of(tmp_path / 'd', kitti_line('Car', 1e-9)) == 1


@pytest.mark.parametrize('line', ['Car 0.0 1', kitti_line('Car', 'far'), kitti_line('Car', 'nan')])
def test_malformed_line_is_named(tmp_path, line):
    with pytest.raises(UserError, match=r'label_2/\d{6}.txt, line 2: expected 15 fields'):
        label_of(tmp_path, kitti_line(), line)


def test_missing_parts(tmp_path):
    with pytest.raises(UserError, match='image_2 does not exist; unpack data_object_image_2.zip'):
        KittiDist(str(tmp_path))
    root = make_kitti(tmp_path / 'kitti')
    next(iter((root / 'training' / 'label_2').iterdir())).unlink()
    with pytest.raises(UserError, match=r'label file .*\.txt does not exist; unpack data_object_l'):
        [KittiDist(str(root), split) for split in ('train', 'val')]
    for path in (root / 'training' / 'image_2').iterdir():
        path.unlink()
    with pytest.raises(UserError, match='holds no image of the val split'):
        KittiDist(str(root), 'val')
    with pytest.raises(UserError, match="got 'test'"):
        KittiDist(str(root), 'test')

import json
import math

import pytest
from mmpretrain.registry import DATASETS

from mmssl_prior.datasets import ClevrCount, ClevrDist, LoadImage
from mmssl_prior.errors import UserError
from tests.miniatures import make_clevr


def edit(root, change):
    path = root / 'scenes' / 'CLEVR_train_scenes.json'
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content) or content))


def test_count_is_the_number_of_objects(tmp_path):
    root = make_clevr(tmp_path / 'clevr', [(9.0,) * n for n in range(3, 11)])
    for split in ('train', 'val'):
        data = DATASETS.build(dict(type='ClevrCount', data_root=str(root), split=split))
        assert data.get_gt_labels().tolist() == list(range(8))
        assert data.get_data_info(2)['img_path'] == str(
            root / 'images' / split / f'CLEVR_{split}_000002.png'
        )
    assert data.metainfo['classes'] == ('3', '4', '5', '6', '7', '8', '9', '10')
    assert ClevrCount(str(root), pipeline=[LoadImage()])[0]['img'].shape == (32, 48, 3)


EDGES = [(8.0, 0, 1), (8.5, 1, 2), (9.0, 2, 3), (9.5, 3, 4), (10.0, 4, 5)]


@pytest.mark.parametrize(('edge', 'at', 'above'), EDGES)
def test_an_edge_belongs_to_the_bin_below_it(tmp_path, edge, at, above):
    scenes = [
        [math.nextafter(edge, 0), 12.0, 12.0],
        [12.0, edge, 12.0],
        [12.0, 12.0, math.nextafter(edge, 100)],
    ]
    data = ClevrDist(str(make_clevr(tmp_path / 'clevr', scenes)))
    assert data.get_gt_labels().tolist() == [at, at, above]


def test_extremes_of_distance(tmp_path):
    root = make_clevr(tmp_path / 'clevr', [[0.5], [100.0]])
    assert ClevrDist(str(root)).get_gt_labels().tolist() == [0, 5]
    assert len(ClevrDist.METAINFO['classes']) == 6
    edit(root, lambda c: c['scenes'][1]['objects'][0].update(pixel_coords=[1, 2, 100.01]))
    with pytest.raises(UserError, match=r'scenes\[1\] \(CLEVR_train_000001.png\): nearest .*100'):
        ClevrDist(str(root))


def test_misspelled_split_key_is_not_read(tmp_path):
    root = make_clevr(tmp_path / 'clevr')
    edit(root, lambda c: [scene.update(split='trian') for scene in c['scenes']] and None)
    assert len(ClevrCount(str(root))) == 2


def test_labels_do_not_depend_on_what_a_split_holds(tmp_path):
    root = make_clevr(tmp_path / 'clevr', [(9.0,) * 7])
    assert ClevrCount(str(root)).get_gt_labels().tolist() == [4]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda c: c['scenes'][1].pop('image_filename') and None, r"scenes\[1\] has no 'image_"),
        (lambda c: c['scenes'][1].pop('objects') and None, r'scenes\[1\] has no'),
        (lambda c: c['scenes'].__setitem__(1, 3), r'scenes\[1\] has no'),
        (lambda c: c['scenes'][1]['objects'][0].update(pixel_coords=[1, 2]), r'scenes\[1\] has no'),
        (
            lambda c: c['scenes'][1]['objects'][0].update(pixel_coords=[1, 2, 'x']),
            r"scenes\[1\].*'pixel_coords' of three numbers",
        ),
        (lambda c: c['scenes'][1]['objects'].append(5), r'scenes\[1\] has no'),
        (lambda c: c['scenes'][1].update(objects=[]), r'scenes\[1\] .*: 0 objects, expected 3 to'),
        (lambda c: c.update(scenes=[]), "no list 'scenes', or an empty one"),
        (lambda c: [c], "no list 'scenes'"),
    ],
)
def test_malformed_scenes(tmp_path, change, message):
    root = make_clevr(tmp_path / 'clevr')
    edit(root, change)
    with pytest.raises(UserError, match='CLEVR_train_scenes.json: ' + message) as error:
        ClevrCount(str(root))
    assert '\n' not in str(error.value)


def test_missing_and_truncated_files(tmp_path):
    with pytest.raises(
        UserError, match=r'Clevr/Dist \(train split\): .*CLEVR_train_scenes.json do'
    ):
        ClevrDist(str(tmp_path))
    root = make_clevr(tmp_path / 'clevr')
    path = root / 'scenes' / 'CLEVR_train_scenes.json'
    path.write_text(path.read_text()[:100])
    with pytest.raises(UserError, match='CLEVR_train_scenes.json: not a JSON file'):
        ClevrDist(str(root))
    (root / 'images' / 'val').rename(tmp_path / 'away')
    with pytest.raises(UserError, match=r'val split\): .*images/val does not exist; unpack CLEVR'):
        ClevrDist(str(root), split='val')
    with pytest.raises(UserError, match="got 'test'"):
        ClevrCount(str(root), split='test')

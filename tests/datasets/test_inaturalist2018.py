import json
import os
import subprocess
import sys

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS

from mmssl_prior.datasets import INaturalist2018, LoadImage
from mmssl_prior.errors import UserError
from tests.miniatures import make_inaturalist2018


@pytest.fixture
def root(tmp_path):
    return make_inaturalist2018(tmp_path / 'inat')


def edit(root, change, split='train'):
    """Apply a function to the content of an annotation file."""
    path = root / f'{split}2018.json'
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content) or content))


def test_train_and_val(root):
    train = DATASETS.build(dict(type='INaturalist2018', data_root=str(root)))
    assert train.get_gt_labels().tolist() == [0] * 4 + [7] * 2 + [8141]
    val = INaturalist2018(str(root), split='val', pipeline=[LoadImage()], test_mode=True)
    assert val.get_gt_labels().tolist() == [0, 7, 8141]
    assert val[2]['img'].shape == (44, 60, 3)
    info = train.get_data_info(4)
    assert info['img_path'].startswith(str(root / 'train_val2018' / 'Insecta' / '7'))
    assert train.get_cat_ids(4) == [7]


def test_classes_do_not_depend_on_the_split(root):
    edit(root, lambda c: c.update(images=c['images'][-1:]))
    train = INaturalist2018(str(root))
    assert train.get_gt_labels().tolist() == [8141]
    classes = train.metainfo['classes']
    assert len(classes) == 8142
    assert (classes[0], classes[1], classes[7], classes[8141]) == (
        'Species 0',
        '1',
        'Species 7',
        'Species 8141',
    )


@pytest.mark.parametrize('categories', [[], None, [dict(id=0)], [3], [dict(id='0', name='x')]])
def test_categories_without_names(root, categories):
    edit(root, lambda c: c.update(categories=categories))
    assert INaturalist2018(str(root)).metainfo['classes'] == tuple(map(str, range(8142)))


def test_own_list_and_place_of_images(root, tmp_path):
    (root / 'train2018.json').rename(tmp_path / 'my list.json')
    data = INaturalist2018(str(root), ann_file=str(tmp_path / 'my list.json'))
    assert len(data) == 7
    (root / 'train_val2018').rename(tmp_path / 'train_val2018')
    data = INaturalist2018(
        str(root), split='val', data_prefix=str(tmp_path), pipeline=[LoadImage()]
    )
    assert data[0]['img'].shape == (44, 60, 3)


def test_home_folder(root, monkeypatch):
    monkeypatch.setenv('HOME', str(root.parent))
    assert len(INaturalist2018('~/inat')) == 7


def test_path_from_the_command_line_reaches_the_dataset(root):
    config = Config(
        dict(
            train_dataloader=dict(
                dataset=dict(
                    type='INaturalist2018', data_root='data/inaturalist2018', split='train'
                ),
                sampler=dict(type='EpochSampler'),
                batch_size=2,
            )
        )
    )
    config.merge_from_dict({'train_dataloader.dataset.data_root': str(root)})
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        loader = Runner.build_dataloader(config.train_dataloader, seed=0)
    assert len(loader.dataset) == 7
    assert loader.dataset.get_data_info(0)['img_path'].startswith(str(root))


def one_line(error):
    assert '\n' not in str(error.value)


def test_nothing_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = os.path.join(str(tmp_path), 'data', 'inaturalist2018')
    with pytest.raises(
        UserError,
        match=(
            f'the data folder {expected} does not exist; download train_val2018.tar.gz, '
            r'train2018.json.tar.gz and val2018.json.tar.gz of the iNaturalist 2018 competition '
            r'.*data_root'
        ),
    ) as error:
        INaturalist2018()
    one_line(error)


def test_missing_parts(root, tmp_path):
    (root / 'val2018.json').unlink()
    with pytest.raises(
        UserError,
        match=r'the annotation file .*inat/val2018.json does not exist; '
        'download val2018.json.tar.gz',
    ) as error:
        INaturalist2018(str(root), split='val')
    one_line(error)
    (root / 'train_val2018').rename(tmp_path / 'away')
    with pytest.raises(
        UserError,
        match='the image folder .*train_val2018 does not exist; download train_val2018.tar.gz',
    ) as error:
        INaturalist2018(str(root))
    one_line(error)


def named(name):
    return lambda c: c['images'][3].update(file_name=name)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (named('a.jpg'), r"images\[3\]: file_name 'a.jpg' is not of the form train_val2018/<Super"),
        (named('train_val2018/Aves/x7/a.jpg'), r'images\[3\].*not of the form'),
        (named('train_val2018/Aves/-7/a.jpg'), r'images\[3\].*not of the form'),
        (named('train_val2018/Aves/²/a.jpg'), r'images\[3\].*not of the form'),
        (named('train_val2018/Aves/8142/a.jpg'), r'images\[3\]: class 8142 .* expected 0 to 8141'),
        (named(7), r"images\[3\] has no 'file_name'"),
        (lambda c: c['images'][3].pop('file_name') and None, r"images\[3\] has no 'file_name'"),
        (lambda c: c['images'].__setitem__(3, None), r"images\[3\] has no 'file_name'"),
        (lambda c: c.update(images=[]), "the list 'images' is empty"),
        (lambda c: c.update(images=dict(a=1)), "no list 'images'"),
        (lambda c: c.pop('images') and None, "no list 'images'"),
        (lambda c: [c], "no list 'images'"),
        (lambda c: [1], "no list 'images'"),
    ],
)
def test_malformed_annotations(root, change, message):
    edit(root, change)
    with pytest.raises(UserError, match='train2018.json: ' + message) as error:
        INaturalist2018(str(root))
    one_line(error)


def test_truncated_and_foreign_files(root):
    path = root / 'train2018.json'
    path.write_text(path.read_text()[:300])
    with pytest.raises(UserError, match='train2018.json: not a JSON file .*unpack it again'):
        INaturalist2018(str(root))
    path.write_bytes(b'\x1f\x8b\x08\x00\xff\xfe')
    with pytest.raises(UserError, match='train2018.json: not a JSON file'):
        INaturalist2018(str(root))


@pytest.mark.slow
def test_the_full_list_in_seconds_and_bounded_memory(tmp_path):
    """437,513 images, as many as the training split has, in a process of its own."""
    size = 437_513
    content = dict(
        images=[
            dict(id=i, file_name=f'train_val2018/Aves/{i % 8142}/{i:032x}.jpg', rights_holder='x')
            for i in range(size)
        ],
        annotations=[dict(id=i, image_id=i, category_id=i % 8142) for i in range(size)],
        categories=[dict(id=i, name=f'{i}', supercategory='Aves') for i in range(8142)],
    )
    (tmp_path / 'train2018.json').write_text(json.dumps(content))
    (tmp_path / 'train_val2018').mkdir()
    script = (
        'import resource, sys, time\n'
        'from mmssl_prior.datasets import INaturalist2018\n'
        'from mmssl_prior.evaluation.identity import dataset_digest\n'
        'def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3\n'
        'before, start = peak(), time.process_time()\n'
        'data = INaturalist2018(sys.argv[1])\n'
        'dataset_digest(data)\n'
        'print("found", len(data), time.process_time() - start, peak() - before)\n'
    )
    command = [sys.executable, '-c', script, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    (line,) = [x for x in result.stdout.splitlines() if x.startswith('found')] or [result.stderr]
    _, images, seconds, megabytes = line.split()
    assert int(images) == size
    # Two seconds and 350 MB when written.
    assert float(seconds) < 20 and float(megabytes) < 1000, line


def test_bad_arguments(root):
    with pytest.raises(ValueError, match=r"split must be one of .* got 'test'"):
        INaturalist2018(str(root), split='test')
    with pytest.raises(TypeError, match='subset'):
        INaturalist2018(str(root), subset=1)


def test_lazy_and_partial_loading(root):
    lazy = INaturalist2018('nowhere', lazy_init=True)
    with pytest.raises(UserError, match='nowhere'):
        lazy.full_init()
    np.testing.assert_array_equal(
        INaturalist2018(str(root), indices=5).get_gt_labels(), [0] * 4 + [7]
    )


def test_supercategory_as_target(root):
    data = INaturalist2018(str(root), target='supercategory')
    assert data.get_gt_labels().tolist() == [4] * 4 + [8] * 2 + [11]
    classes = data.metainfo['classes']
    assert len(classes) == 14 and (classes[4], classes[8], classes[11]) == (
        'Aves',
        'Insecta',
        'Plantae',
    )
    edit(root, named('train_val2018/Birds/7/a.jpg'))
    with pytest.raises(UserError, match=r'images\[3\]: unknown supercategory .*Birds'):
        INaturalist2018(str(root), target='supercategory')
    with pytest.raises(UserError, match='target must be one of'):
        INaturalist2018(str(root), target='genus')

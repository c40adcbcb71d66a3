"""Annotation files cannot have files outside of their folder read."""

import json

import pytest

from mmssl_prior.datasets import (
    ClevrCount,
    ImageFolder,
    ImageNet1K,
    INaturalist2018,
    Places205CSV,
)
from mmssl_prior.datasets.listed_paths import check_listed
from mmssl_prior.errors import UserError
from tests.miniatures import make_clevr, make_inaturalist2018, make_places205

OUTSIDE = ['../secret.png', 'a/../../b.png', '/etc/passwd', '..', r'..\secret', 'C:/x', r'\\host\x']


@pytest.mark.parametrize('path', OUTSIDE)
def test_outside(path):
    with pytest.raises(
        UserError, match='^list.txt, line 3: the path .* leaves the folder of the im'
    ):
        check_listed(path, 'list.txt, line 3')


@pytest.mark.parametrize('path', ['a/b.png', '..a/b', 'a/b..png', '...', './a', '', 'a b/c:d.jpg'])
def test_inside(path):
    check_listed(path, 'list.txt')


def test_inaturalist(tmp_path):
    root = make_inaturalist2018(tmp_path / 'inat')
    path = root / 'train2018.json'
    content = json.loads(path.read_text())
    content['images'][1]['file_name'] = 'train_val2018/../5/secret.jpg'
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r'train2018.json: images\[1\]: the path .* leaves'):
        INaturalist2018(str(root))


def test_places(tmp_path):
    root = make_places205(tmp_path / 'places')
    path = root / 'trainvalsplit_places205' / 'train_places205.csv'
    path.write_text(path.read_text() + '/a/secret.jpg 7\n')
    with pytest.raises(UserError, match=r'train_places205.csv, line 7: the path .* leaves'):
        Places205CSV(str(root))


def test_clevr(tmp_path):
    root = make_clevr(tmp_path / 'clevr')
    path = root / 'scenes' / 'CLEVR_train_scenes.json'
    content = json.loads(path.read_text())
    content['scenes'][0]['image_filename'] = '../../../secret.png'
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r'train_scenes.json: scenes\[0\]: the path .* leaves'):
        ClevrCount(str(root))


@pytest.mark.parametrize('line', ['../secret.png', '/etc/passwd'])
def test_lists_of_a_folder(tmp_path, line):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images' / 'a.png').write_bytes(b'x')
    (tmp_path / 'images' / 'list.txt').write_text(f'a.png\n{line}\n')
    with pytest.raises(UserError, match=r'list.txt, line 2: the path .* leaves'):
        ImageFolder(str(tmp_path / 'images'), ann_file='list.txt')
    (tmp_path / 'train').mkdir()
    (tmp_path / 'meta').mkdir()
    (tmp_path / 'meta' / 'train.txt').write_text(f'n0/a.JPEG 0\n{line} 1\n')
    with pytest.raises(UserError, match=r'meta/train.txt, line 2: the path .* leaves'):
        ImageNet1K(str(tmp_path))


def test_links_are_the_users_own(tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'elsewhere' / 'a.png').write_bytes(b'x')
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images' / 'link').symlink_to(tmp_path / 'elsewhere')
    (tmp_path / 'list.txt').write_text('link/a.png\n')
    data = ImageFolder(str(tmp_path / 'images'), ann_file=str(tmp_path / 'list.txt'))
    assert data.get_data_info(0)['img_path'].endswith('images/link/a.png')

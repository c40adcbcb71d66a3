import pytest
from mmpretrain.registry import DATASETS

from mmssl_prior.datasets import LoadImage, Places205CSV
from mmssl_prior.errors import UserError
from tests.miniatures import make_places205


@pytest.fixture
def root(tmp_path):
    return make_places205(tmp_path / 'places')


def test_lists_of_the_download(root):
    for split in ('train', 'val'):
        data = DATASETS.build(dict(type='Places205CSV', data_root=str(root), split=split))
        assert data.get_gt_labels().tolist() == [0, 0, 3, 3, 204, 204]
    assert len(data.metainfo['classes']) == 205
    assert Places205CSV(str(root), pipeline=[LoadImage()])[5]['img'].shape == (32, 40, 3)


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('p/place/a.jpg', 'line 3: expected a path and a label'),
        ('p/place/a.jpg three', 'line 3: expected a path and a label'),
        ('p/place/a.jpg -1', 'line 3: expected a path and a label'),
        ('7', 'line 3: expected a path and a label'),
        ('p/place/a.jpg 205', 'line 3: label 205 is out of range, expected 0 to 204'),
    ],
)
def test_malformed_line_is_named(root, line, message):
    path = root / 'trainvalsplit_places205' / 'train_places205.csv'
    lines = path.read_text().splitlines()
    path.write_text('\n'.join([*lines[:2], line, *lines[2:]]))
    with pytest.raises(UserError, match='train_places205.csv, ' + message):
        Places205CSV(str(root))


def test_spaces_in_names(root):
    path = root / 'trainvalsplit_places205' / 'train_places205.csv'
    path.write_text('p/a place/b c.jpg 7\n\n')
    data = Places205CSV(str(root))
    assert data.get_data_info(0)['img_path'].endswith('images256/p/a place/b c.jpg')


def test_missing_parts(root, tmp_path):
    with pytest.raises(UserError, match='train_places205.csv does not exist; unpack trainvalspl'):
        Places205CSV(str(tmp_path))
    (root / 'trainvalsplit_places205' / 'val_places205.csv').write_text('\n')
    with pytest.raises(UserError, match='val_places205.csv: the list is empty'):
        Places205CSV(str(root), 'val')
    (root / 'data').rename(tmp_path / 'away')
    with pytest.raises(UserError, match='images256 does not exist; unpack imagesPlaces205_resize'):
        Places205CSV(str(root))
    with pytest.raises(UserError, match="got 'test'"):
        Places205CSV(str(root), 'test')

"""Images below a folder, without labels."""

import pytest
from mmpretrain.registry import DATASETS
from PIL import Image

from mmssl_prior.errors import UserError

PIPELINE = [dict(type='LoadImage'), dict(type='PackInputs')]


def build(root):
    return DATASETS.build(dict(type='ImageFolder', data_root=str(root), pipeline=PIPELINE))


def test_flat_and_nested_images_of_several_formats(tmp_path):
    names = ['a.jpg', 'b.PNG', 'sub/c.bmp', 'sub/deeper/d.tif']
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (8, 6), 'red').save(path)
    (tmp_path / 'notes.txt').write_text('no image')
    data = build(tmp_path)
    found = [data.get_data_info(i)['img_path'] for i in range(len(data))]
    assert found == sorted(str(tmp_path / name) for name in names), 'sorted on every machine'
    sample = data[0]
    assert sample['inputs'].shape == (3, 6, 8) and 'gt_label' not in sample['data_samples']


def test_a_broken_image_is_replaced(tmp_path):
    Image.new('RGB', (8, 6)).save(tmp_path / 'good.png')
    (tmp_path / 'bad.png').write_bytes(b'')
    data = build(tmp_path)
    for i in range(2):
        assert data[i]['data_samples'].img_path.endswith('good.png')


def test_a_missing_and_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match='nowhere is not a folder'):
        build(tmp_path / 'nowhere')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match=r'no image below .*empty \(looked for .bmp'):
        build(tmp_path / 'empty')

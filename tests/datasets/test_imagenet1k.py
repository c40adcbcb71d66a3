import shutil

import pytest
from mmpretrain.registry import DATASETS

from mmssl_prior.datasets import ImageNet1K, LoadImage
from mmssl_prior.errors import UserError
from tests.miniatures import make_imagenet


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make_imagenet(tmp_path_factory.mktemp('in1k'), images_per_class=1, size=(8, 8))


def test_labels_are_places_of_the_sorted_wnids(root):
    for split in ('train', 'val'):
        data = DATASETS.build(dict(type='ImageNet1K', data_root=str(root), split=split))
        assert data.get_gt_labels().tolist() == list(range(1000))
        assert data.get_data_info(7)['img_path'] == str(
            root / split / 'n00000007' / f'{split}_0.JPEG'
        )
    assert len(data.metainfo['classes']) == 1000


def test_undecodable_image_is_replaced(root, tmp_path):
    copy = tmp_path / 'copy'
    shutil.copytree(root / 'val', copy / 'val')
    (copy / 'val' / 'n00000003' / 'val_0.JPEG').write_bytes(b'')
    data = ImageNet1K(str(copy), 'val', pipeline=[LoadImage()])
    sample = data[3]
    assert sample['gt_label'] != 3
    assert sample['undecodable'][0][0].endswith('n00000003/val_0.JPEG')


def test_what_is_missing_is_named(root, tmp_path):
    with pytest.raises(UserError, match=r'train split.*nowhere/train does not exist; .*data_root'):
        ImageNet1K(str(tmp_path / 'nowhere'))
    (tmp_path / 'val' / 'n01440764').mkdir(parents=True)
    with pytest.raises(UserError, match=r'val must hold 1000 folders.*subfolders \(1\)') as error:
        ImageNet1K(str(tmp_path), 'val')
    assert '\n' not in str(error.value)
    with pytest.raises(UserError, match="split must be one of .* got 'test'"):
        ImageNet1K(str(root), 'test')

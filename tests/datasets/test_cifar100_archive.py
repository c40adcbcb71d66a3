import pickle

import numpy as np
import pytest
from mmpretrain.registry import DATASETS

from mmssl_prior.datasets import CIFAR100Archive
from mmssl_prior.errors import UserError
from tests.miniatures import make_cifar100


@pytest.fixture
def root(tmp_path):
    return make_cifar100(tmp_path / 'cifar', labels=(3, 99, 0))


def edit(root, **changes):
    path = root / 'cifar-100-python' / 'train'
    path.write_bytes(pickle.dumps({**pickle.loads(path.read_bytes()), **changes}, protocol=2))


def test_fine_labels_and_bgr_images(root):
    data = DATASETS.build(dict(type='CIFAR100Archive', data_root=str(root)))
    assert data.get_gt_labels().tolist() == [3, 99, 0]
    content = pickle.loads((root / 'cifar-100-python' / 'train').read_bytes())
    image = data[1]['img']
    assert image.shape == (32, 32, 3) and image.dtype == np.uint8
    red = content['data'][1, :1024].reshape(32, 32)
    np.testing.assert_array_equal(image[..., 2], red)
    assert len(data.metainfo['classes']) == 100
    assert len(CIFAR100Archive(str(root), 'test')) == 3


class Harmful:
    def __reduce__(self):
        return print, ('ran',)


def test_bad_files(root, tmp_path, capsys):
    with pytest.raises(UserError, match='cifar-100-python/test does not exist; unpack cifar-100'):
        CIFAR100Archive(str(tmp_path), 'test')
    with pytest.raises(UserError, match="got 'val'"):
        CIFAR100Archive(str(root), 'val')
    edit(root, fine_labels=[3, 100, 0])
    with pytest.raises(UserError, match=r'train: fine_labels\[1\] is 100, expected 0 to 99'):
        CIFAR100Archive(str(root))
    edit(root, fine_labels=[3])
    with pytest.raises(UserError, match='train: 3 images but 1 labels'):
        CIFAR100Archive(str(root))
    edit(root, data=Harmful())
    with pytest.raises(UserError, match='not a file of CIFAR-100 .*print'):
        CIFAR100Archive(str(root))
    assert 'ran' not in capsys.readouterr().out
    (root / 'cifar-100-python' / 'train').write_bytes(b'\x80\x02')
    with pytest.raises(UserError, match='not a file of CIFAR-100 in Python'):
        CIFAR100Archive(str(root))

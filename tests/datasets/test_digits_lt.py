import numpy as np
import pytest
from mmpretrain.registry import DATASETS
from PIL import Image
from sklearn.datasets import load_digits

from mmssl_prior.datasets import DigitsLT
from mmssl_prior.datasets.long_tail import long_tailed_counts, power_law_counts


def images(data):
    return {data.get_data_info(i)['img'].tobytes() for i in range(len(data))}


def counts(data):
    return np.bincount(data.get_gt_labels(), minlength=10)


def test_splits_are_disjoint():
    # Eight pixels are the scans themselves, which are all different.
    scans, _ = load_digits(return_X_y=True)
    assert len(np.unique(scans, axis=0)) == 1797
    splits = [images(DigitsLT(split=s, image_size=8)) for s in ('train', 'probe', 'test')]
    assert [len(s) for s in splits] == [364, 250, 250]
    assert len(set.union(*splits)) == 864
    # Neither the exponent nor the permutation moves an image between splits.
    train = images(DigitsLT(image_size=8, exponent=0.0, class_seed=3))
    assert not train & (splits[1] | splits[2])
    assert splits[1] == images(DigitsLT(split='probe', image_size=8, exponent=0.5, class_seed=3))


def test_held_out_splits_are_balanced():
    for split in ('probe', 'test'):
        assert counts(DigitsLT(split=split, images_per_class=30)).tolist() == [30] * 10


@pytest.mark.parametrize('class_seed', [0, 1, 2])
@pytest.mark.parametrize(('exponent', 'num_images'), [(1.0, None), (0.5, 300), (0.0, None)])
def test_train_split_follows_the_power_law(class_seed, exponent, num_images):
    data = DigitsLT(exponent=exponent, num_images=num_images, class_seed=class_seed)
    found = counts(data)
    np.testing.assert_array_equal(found, data.class_counts())
    np.testing.assert_array_equal(found, long_tailed_counts(len(data), 10, exponent, class_seed))
    np.testing.assert_array_equal(np.sort(found)[::-1], power_law_counts(len(data), 10, exponent))


def test_default_size_is_the_largest_possible():
    data = DigitsLT()
    assert counts(data).max() == 174 - 2 * 25
    with pytest.raises(ValueError, match=r'num_images must be an integer in \[10, 364\], got 365'):
        DigitsLT(num_images=365)
    assert len(DigitsLT(exponent=0.0)) == 1240


def test_smaller_train_splits_are_nested():
    assert images(DigitsLT(num_images=100)) < images(DigitsLT(num_images=200))


def test_seeds():
    first = DigitsLT(class_seed=0)
    assert (counts(first) != counts(DigitsLT(class_seed=1))).any()
    assert images(DigitsLT('test')) != images(DigitsLT('test', split_seed=1))
    assert images(DigitsLT('test')) == images(DigitsLT('test'))


def test_images_are_the_scans():
    data = DATASETS.build(dict(type='DigitsLT', split='test', image_size=8))
    scans, labels = load_digits(return_X_y=True)
    by_image = {
        np.round(scan * 255 / 16).astype(np.uint8).tobytes(): label
        for scan, label in zip(scans, labels)
    }
    for i in range(len(data)):
        info = data.get_data_info(i)
        assert by_image[info['img'][..., 0].tobytes()] == info['gt_label']
    large = DigitsLT('test').get_data_info(3)['img']
    assert large.shape == (32, 32, 3) and large.dtype == np.uint8
    assert (large == large[..., :1]).all()
    small = Image.fromarray(data.get_data_info(3)['img'][..., 0])
    np.testing.assert_array_equal(
        large[..., 0], np.asarray(small.resize((32, 32), Image.Resampling.BICUBIC))
    )


def test_classes_and_repr():
    data = DigitsLT(class_seed=4)
    assert data.metainfo['classes'] == tuple('0123456789')
    assert 'class 4, split 0' in repr(data)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(split='val'), 'split must be one of'),
        (dict(num_images=9), r'num_images must be an integer in \[10'),
        (dict(num_images=20.0), 'num_images must be an integer'),
        (dict(images_per_class=87), r'images_per_class must be an integer in \[1, 86\]'),
        (dict(exponent=-1), 'exponent must be a finite number >= 0'),
        (dict(exponent=float('nan')), 'exponent must be'),
        (dict(exponent='1'), 'exponent must be'),
        (dict(class_seed=-1), 'class_seed must be an integer >= 0'),
        (dict(split_seed=None), 'split_seed must be an integer >= 0'),
        (dict(image_size=4), r'image_size must be an integer in \[8, 1024\]'),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match='DigitsLT: ' + message):
        DigitsLT(**kwargs)

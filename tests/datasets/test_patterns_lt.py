"""PatternsLT: exact sizes, purity of every image, and a pixel ceiling."""

import zlib

import numpy as np
import pytest
from mmpretrain.registry import DATASETS
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from mmssl_prior.datasets import patterns
from mmssl_prior.datasets.long_tail import power_law_counts
from mmssl_prior.datasets.patterns import MAX_CLASSES, class_name, render
from mmssl_prior.datasets.patterns_lt import PatternsLT
from tests.processes import run_script


def arrays(**kwargs):
    data = PatternsLT(**kwargs)
    images = np.stack([data[i]['img'] for i in range(len(data))])
    return images, data.get_gt_labels()


@pytest.mark.parametrize('num_images', [16, 17, 160, 2400])
@pytest.mark.parametrize('exponent', [0, 0.25, 1, 2.5, 50])
@pytest.mark.parametrize('num_classes', [16, 128])
def test_counts_sum_exactly_and_leave_no_class_empty(num_images, exponent, num_classes):
    num_images = max(num_images, num_classes)
    counts = power_law_counts(num_images, num_classes, exponent)
    assert counts.sum() == num_images
    assert counts.min() >= 1
    assert (np.diff(counts) <= 0).all()


def test_counts_by_hand():
    # 2400 / H_16 = 709.9; the quotas of every rank exceed one.
    counts = power_law_counts(2400, 16, 1.0)
    quota = 2400 / np.arange(1, 17) / (1 / np.arange(1, 17)).sum()
    assert (np.abs(counts - quota) < 1).all()
    assert counts[0] == 710
    assert power_law_counts(18, 4, 2.0).tolist() == [13, 3, 1, 1]


def test_exponent_zero_is_balanced():
    counts = PatternsLT(exponent=0, num_images=160).class_counts()
    assert (counts == 10).all()
    counts = PatternsLT(exponent=0, num_images=170).class_counts()
    assert counts.max() - counts.min() == 1 and counts.sum() == 170


def test_class_seed_permutes_sizes_and_nothing_else():
    a = PatternsLT(num_images=320, class_seed=0)
    b = PatternsLT(num_images=320, class_seed=1)
    assert (np.sort(a.class_counts()) == np.sort(b.class_counts())).all()
    assert (a.class_counts() != b.class_counts()).any()
    assert (np.bincount(a.get_gt_labels()) == a.class_counts()).all()
    # The common prefix of every class is the same images.
    images = [[d[i]['img'] for i in np.flatnonzero(d.get_gt_labels() == 5)] for d in (a, b)]
    common = min(map(len, images))
    np.testing.assert_array_equal(images[0][:common], images[1][:common])


def test_image_is_a_pure_function_of_its_four_coordinates():
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    images, _ = arrays(split='test', images_per_class=3)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    again, _ = arrays(split='test', images_per_class=2)
    np.testing.assert_array_equal(
        again, images.reshape(16, 3, 40, 40, 3)[:, :2].reshape(32, 40, 40, 3)
    )
    more, _ = arrays(split='test', images_per_class=3, num_classes=32)
    np.testing.assert_array_equal(more[:48], images)

    seed = np.random.SeedSequence(0, spawn_key=(2, 4, 1))
    direct = render(4, np.random.default_rng(seed))
    # mmcv's channel order is BGR.
    np.testing.assert_array_equal(images[4 * 3 + 1], direct[..., ::-1])


def test_same_images_in_another_process():
    code = (
        'from mmssl_prior.datasets.patterns_lt import PatternsLT\n'
        'import zlib\n'
        'd = PatternsLT(num_images=32)\n'
        'print(zlib.crc32(b"".join(x["img"].tobytes() for x in d)))'
    )
    # Strings have other hashes there, as in any process.
    there = run_script('-c', code).stdout.split()[-1]
    here = zlib.crc32(b''.join(x['img'].tobytes() for x in PatternsLT(num_images=32)))
    assert there == str(here)


def test_splits_and_seeds_share_no_image():
    pools = [
        arrays(exponent=0, num_images=160)[0],
        arrays(split='probe', images_per_class=10)[0],
        arrays(split='test', images_per_class=10)[0],
        arrays(split='test', images_per_class=10, image_seed=1)[0],
    ]
    keys = [x.tobytes() for pool in pools for x in pool]
    assert len(set(keys)) == len(keys) == 640


def test_balanced_splits_and_their_default_sizes():
    for split, size in dict(probe=100, test=50).items():
        data = PatternsLT(split=split, lazy_init=True)
        assert (data.class_counts() == size).all()
    _, labels = arrays(split='test', images_per_class=7, exponent=3.0)
    assert (np.bincount(labels) == 7).all()


def test_item_is_uint8_hwc_and_registered():
    data = DATASETS.build(
        dict(type='PatternsLT', num_images=16, image_size=24, pipeline=[dict(type='PackInputs')])
    )
    item = data[3]
    assert item['inputs'].shape == (3, 24, 24)
    assert item['data_samples'].gt_label.item() == 3
    raw = PatternsLT(num_images=16, image_size=24)
    assert raw[0]['img'].dtype == np.uint8
    assert raw[0]['img'].flags['C_CONTIGUOUS']
    assert raw.metainfo['classes'][:2] == ('stripes', 'checker')
    assert 'Split: \ttrain' in repr(raw)


def test_128_classes_have_distinct_names_and_distinct_images(monkeypatch):
    names = [class_name(k) for k in range(MAX_CLASSES)]
    assert len(set(names)) == MAX_CLASSES == 128
    assert names[:12] == [
        'stripes',
        'checker',
        'dots',
        'rings',
        'spokes',
        'noise',
        'bricks',
        'zigzag',
        'disc',
        'cross',
        'square',
        'triangle',
    ]
    # The same generator state gives the same position, rotation, scale,
    # colours and light; without noise, what is left to differ is the class.
    monkeypatch.setattr(patterns, 'NOISE_STD', 0.0)
    images = np.stack(
        [
            [
                patterns.render(k, np.random.default_rng(seed)).astype(np.float32)
                for seed in range(8)
            ]
            for k in range(MAX_CLASSES)
        ]
    ).reshape(MAX_CLASSES, -1)
    for k in range(MAX_CLASSES):
        distance = np.abs(images - images[k]).mean(1)
        distance[k] = np.inf
        assert distance.min() > 2, names[k]
    data = PatternsLT(num_classes=128, num_images=128)
    assert data.metainfo['classes'] == tuple(names)
    assert sorted(data.get_gt_labels()) == list(range(128))


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_raw_pixels_do_not_separate_the_classes(seed):
    x, y = arrays(split='probe', image_seed=seed)
    x_test, y_test = arrays(split='test', image_seed=seed)
    x, x_test = (a.reshape(len(a), -1).astype(np.float32) for a in (x, x_test))
    scaler = StandardScaler().fit(x)
    x, x_test = scaler.transform(x), scaler.transform(x_test)
    unit, unit_test = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x, x_test))
    similarity = unit_test @ unit.T
    near = np.argsort(-similarity, axis=1)[:, :20]
    weight = np.exp(np.take_along_axis(similarity, near, 1) / 0.07)
    votes = np.zeros((len(x_test), 16))
    np.add.at(votes, (np.arange(len(x_test))[:, None], y[near]), weight)
    assert (votes.argmax(1) == y_test).mean() < 0.33
    linear = LogisticRegression(C=1e-3, max_iter=50).fit(x, y)
    assert linear.score(x_test, y_test) < 0.30


@pytest.mark.parametrize(
    'kwargs, match',
    [
        (dict(split='val'), "split='val'.*train"),
        (dict(num_classes=15), r'num_classes=15.*\[16, 128\]'),
        (dict(num_classes=129), r'num_classes=129.*\[16, 128\]'),
        (dict(num_classes=16.0), 'num_classes=16.0'),
        (dict(num_images=15), r'num_images=15.*>= num_classes \(16\)'),
        (dict(images_per_class=3), "images_per_class=3.*split='train'"),
        (dict(split='test', images_per_class=0), 'images_per_class=0.*>= 1'),
        (dict(exponent=-0.1), 'exponent=-0.1.*>= 0'),
        (dict(exponent=float('nan')), 'exponent=nan'),
        (dict(class_seed=-1), 'class_seed=-1'),
        (dict(image_seed=0.5), 'image_seed=0.5'),
        (dict(image_size=4), r'image_size=4.*\[8, 1024\]'),
    ],
)
def test_bad_argument_is_named_with_value_and_range(kwargs, match):
    with pytest.raises(ValueError, match=match) as error:
        PatternsLT(**kwargs)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('label', [-1, 128])
def test_bad_label(label):
    with pytest.raises(ValueError, match=rf'label={label}.*\[0, 128\)'):
        render(label, np.random.default_rng(0))

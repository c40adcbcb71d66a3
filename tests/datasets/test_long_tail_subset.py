import numpy as np
import pytest
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS

from mmssl_prior.datasets import DigitsLT, EpochIndex, LongTailSubset
from mmssl_prior.datasets.long_tail import exponential_profile, pareto_profile, power_law_profile
from mmssl_prior.errors import UserError


def build(config):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return DATASETS.build(config)


def digits(**kwargs):
    return DigitsLT('probe', images_per_class=40, image_size=8, **kwargs)


# What the published lists of CIFAR-LT hold.
@pytest.mark.parametrize(
    ('most', 'classes', 'factor', 'total'),
    [(500, 100, 100, 10847), (500, 100, 10, 19573), (5000, 10, 100, 12406), (5000, 10, 10, 20431)],
)
def test_exponential_profile(most, classes, factor, total):
    sizes = exponential_profile(most, classes, factor)
    assert sizes.sum() == total and sizes[0] == most and sizes[-1] == most // factor


def test_profiles_by_plain_loops():
    for profile in (exponential_profile, power_law_profile, pareto_profile):
        assert profile(30, 5, 1).tolist() == [30] * 5 and profile(30, 1, 10).tolist() == [30]
        sizes = profile(1280, 1000, 256)
        assert (sizes[0], sizes[-1]) == (1280, 5) and (np.diff(sizes) <= 0).all()
    for r, size in enumerate(power_law_profile(1000, 10, 10), 1):
        assert size == 1000 // r  # the power is one
    for r, size in enumerate(pareto_profile(100, 16, 10, alpha=2), 1):
        assert size == int(10 + 90 * ((16 / r) ** 0.5 - 1) / 3 + 1e-9)


@pytest.mark.parametrize('profile', ['exponential', 'power_law', 'pareto'])
@pytest.mark.parametrize('class_seed', [None, 2])
def test_subset(profile, class_seed):
    whole = digits()
    data = LongTailSubset(digits(), profile, 8, class_seed=class_seed)
    sizes = dict(
        exponential=exponential_profile, power_law=power_law_profile, pareto=pareto_profile
    )[profile](40, 10, 8)
    order = range(10) if class_seed is None else np.random.default_rng(2).permutation(10)
    assert data.class_counts()[list(order)].tolist() == sizes.tolist()
    assert len(data) == sizes.sum() == len(set(data.indices))
    assert (np.diff(data.indices) > 0).all()
    for i, position in enumerate(data.indices):
        info, expected = data.get_data_info(i), whole.get_data_info(position)
        assert (info['img'] == expected['img']).all() and info['sample_idx'] == i
        assert info['gt_label'] == expected['gt_label'] == data.get_gt_labels()[i]
        assert data.get_cat_ids(i) == [info['gt_label']]
    assert data.metainfo == whole.metainfo and data.CLASSES == whole.CLASSES
    assert data.class_to_idx['3'] == 3 and f'{len(data)} images' in repr(data)


def test_seeds():
    first = LongTailSubset(digits(), seed=0, imbalance_factor=8)
    again = LongTailSubset(digits(), seed=0, imbalance_factor=8)
    other = LongTailSubset(digits(), seed=1, imbalance_factor=8)
    np.testing.assert_array_equal(first.indices, again.indices)
    assert set(first.indices) != set(other.indices)
    # A steeper tail is part of a flatter one.
    assert set(LongTailSubset(digits(), imbalance_factor=20).indices) < set(first.indices)


def test_from_a_config_and_within_wrappers():
    config = dict(
        type='LongTailSubset',
        imbalance_factor=8,
        lazy_init=True,
        dataset=dict(type='DigitsLT', split='probe', images_per_class=40, image_size=8),
    )
    data = build(config)
    assert 'not initialized' in repr(data)
    assert len(data) == len(LongTailSubset(digits(), imbalance_factor=8))
    wrapped = build(
        dict(
            type=ConcatDataset,
            datasets=[config, dict(type=RepeatDataset, times=2, dataset=config)],
        )
    )
    assert len(wrapped) == 3 * len(data)
    index = wrapped[EpochIndex(len(data) + 5, 3, 2)]['sample_idx']
    assert (int(index), index.seed, index.epoch, index.origin) == (5, 3, 2, len(data) + 5)
    assert len(build({**config, 'indices': 4})) == 4
    assert build({**config, 'indices': [5, -1]}).indices.tolist() == [
        data.indices[5],
        data.indices[-1],
    ]
    assert build({**config, 'indices': -3}).indices.tolist() == data.indices[-3:].tolist()
    with pytest.raises(UserError, match='indices go beyond the .* images of the subset'):
        build({**config, 'indices': [5000], 'lazy_init': False})


def test_of_a_concatenation():
    parts = [digits(), DigitsLT('test', images_per_class=40, image_size=8)]
    data = LongTailSubset(ConcatDataset(parts), imbalance_factor=16)
    assert data.class_counts()[[0, -1]].tolist() == [80, 5]
    whole = ConcatDataset(parts)
    for i, position in enumerate(data.indices):
        expected = whole.get_data_info(position)['img']
        assert (data.get_data_info(i)['img'] == expected).all()
        assert data[i]['gt_label'] == data.get_gt_labels()[i]


def test_ranks_go_to_classes_that_have_the_images():
    train = DigitsLT(exponent=1.0, image_size=8)  # 124 to 12 images
    counts = np.sort(train.class_counts())[::-1]
    for class_seed in range(5):
        data = LongTailSubset(
            DigitsLT(exponent=1.0, image_size=8),
            'power_law',
            10,
            max_images=int(counts[0]),
            class_seed=class_seed,
        )
        assert (
            np.sort(data.class_counts())[::-1].tolist() == power_law_profile(124, 10, 10).tolist()
        )


def test_index_file(tmp_path):
    path = tmp_path / 'list.txt'
    data = LongTailSubset(digits(), imbalance_factor=8, class_seed=1)
    data.write(path)
    lines = path.read_text().splitlines()
    assert lines[0].startswith('# ') and len(lines) == 1 + len(data)
    again = LongTailSubset(digits(), index_file=str(path))
    np.testing.assert_array_equal(again.indices, data.indices)
    np.testing.assert_array_equal(again.get_gt_labels(), data.get_gt_labels())
    path.write_text('7 0\n\n3 0\n')
    assert LongTailSubset(digits(), index_file=str(path)).indices.tolist() == [7, 3]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('0 0\n1\n', ":2: expected 'index label', got '1'"),
        ('0 0\n-1 0\n', ":2: expected 'index label', got '-1 0'"),
        ('# x\n400 0\n', ':2: there is no image 400, the dataset has 400: the list is of other'),
        ('0 0\n1 5\n', ':2: image 1 is of class 0, the list says 5: .* of another order'),
        ('0 0\n1 0\n0 0\n', ':3: image 0 stands in line 1 already'),
        ('# nothing\n', 'index_file .* names no image'),
        (b'\xff\xfe', 'index_file .*: not a text file'),
        (None, 'index_file .*: No such file or directory'),
    ],
)
def test_errors_of_index_files(tmp_path, text, message):
    path = tmp_path / 'list.txt'
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message):
        LongTailSubset(digits(), index_file=str(path))


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(profile='zipf'), r"profile must be one of \('exponential'.*, got 'zipf'"),
        (dict(imbalance_factor=0.5), 'imbalance_factor must be a finite number >= 1, got 0.5'),
        (dict(alpha=0), 'alpha must be above 0'),
        (dict(max_images=0), 'max_images must be an integer >= 1, got 0'),
        (dict(seed=None), 'seed must be an integer >= 0, got None'),
        (dict(class_seed=-1), 'class_seed must be an integer >= 0, got -1'),
        (dict(imbalance_factor=100), 'imbalance_factor=100 leaves no image for the rarest class'),
        (
            dict(max_images=41),
            'rank 1 of the profile asks for 41 images, class 0 has 40: lower max_images, or set',
        ),
        (
            dict(max_images=41, class_seed=0),
            'rank 1 .* asks for 41 images, the largest class left has 40: lower max_images$',
        ),
    ],
)
def test_errors(kwargs, message):
    with pytest.raises(UserError, match=message):
        LongTailSubset(digits(), **{'imbalance_factor': 8, **kwargs})


def test_errors_of_datasets():
    with pytest.raises(UserError, match='RepeatDataset cannot be reduced: .* go around'):
        LongTailSubset(RepeatDataset(digits(), 2))
    data = digits()
    data.data_bytes, data.serialize_data = None, False
    data.data_list = [dict(img=0)] * 3
    with pytest.raises(UserError, match='DigitsLT has no labels'):
        LongTailSubset(data)

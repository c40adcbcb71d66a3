import math
from bisect import bisect_right

import numpy as np
import pytest
from mmpretrain.registry import DATASETS

from mmssl_prior.datasets.long_tail import long_tailed_counts
from mmssl_prior.datasets.scenes import DEPTH_EDGES, NUM_KINDS, compose, kind_name, paint
from mmssl_prior.errors import UserError


def build(**changes):
    return DATASETS.build(
        dict(type='ScenesLT', num_images=48, images_per_kind=None, image_size=32) | changes
    )


def test_targets_are_asked_of_the_same_images():
    kind, count, distance = (build(target=name) for name in ('kind', 'count', 'distance'))
    for i in range(48):
        first, second, third = (data.get_data_info(i) for data in (kind, count, distance))
        np.testing.assert_array_equal(first['img'], second['img'])
        np.testing.assert_array_equal(first['img'], third['img'])
    assert [len(data.metainfo['classes']) for data in (kind, count, distance)] == [16, 8, 4]
    expected = long_tailed_counts(48, 16, 1.0, 0)
    np.testing.assert_array_equal(np.bincount(kind.get_gt_labels(), minlength=16), expected)


def test_a_split_is_rendered_once(monkeypatch):
    painted = []
    monkeypatch.setattr(
        'mmssl_prior.datasets.scenes_lt.paint',
        lambda scene, rng, size: painted.append(scene) or paint(scene, rng, size),
    )
    first, second = build(image_seed=7), build(image_seed=7, target='count')
    assert len(painted) == 48
    before = second.get_data_info(0)['img']
    first.get_data_info(0)['img'][:] = 0
    np.testing.assert_array_equal(second.get_data_info(0)['img'], before)
    for change in (dict(image_seed=8), dict(image_size=16), dict(exponent=0.0, image_seed=7)):
        painted.clear()
        build(**dict(image_seed=7) | change)
        assert len(painted) == 48, change


def test_labels_are_those_of_the_scene():
    count, distance = build(target='count'), build(target='distance')
    position = 0
    for kind, number in enumerate(long_tailed_counts(48, 16, 1.0, 0)):
        for i in range(number):
            seed = np.random.SeedSequence(0, spawn_key=(0, kind, i))
            scene = compose(kind, np.random.default_rng(seed))
            assert count.get_data_info(position)['gt_label'] == len(scene.depths) - 1
            label = distance.get_data_info(position)['gt_label']
            assert DEPTH_EDGES[label] <= min(scene.depths) < DEPTH_EDGES[label + 1]
            position += 1


def test_count_and_distance_are_balanced_and_independent_of_the_kind():
    rng = np.random.default_rng(0)
    scenes = [compose(int(rng.integers(NUM_KINDS)), rng) for _ in range(4000)]
    counts = np.array([len(scene.depths) - 1 for scene in scenes])
    bins = np.array([bisect_right(DEPTH_EDGES, scene.depths[0]) - 1 for scene in scenes])
    for values, classes in ((counts, 8), (bins, 4)):
        shares = np.bincount(values, minlength=classes) / len(values)
        assert abs(shares - 1 / classes).max() < 4 * math.sqrt(1 / classes / len(values))
    table = np.histogram2d(counts, bins, (8, 4))[0] / 4000
    assert abs(table - 1 / 32).max() < 4 * math.sqrt(1 / 32 / 4000)


def test_splits_share_no_image_and_balanced_ones_are():
    probe, test = build(split='probe', images_per_kind=2), build(split='test', images_per_kind=2)
    assert np.bincount(probe.get_gt_labels()).tolist() == [2] * 16
    images = [data.get_data_info(i)['img'].tobytes() for data in (probe, test) for i in range(32)]
    assert len(set(images)) == 64


def test_objects_behind_are_farther_and_inside_the_picture():
    for seed in range(50):
        scene = compose(0, np.random.default_rng(seed))
        assert (np.diff(scene.depths) >= 0).all() and scene.depths[-1] <= 18
        assert (abs(scene.places) < 0.5).all()


def test_nearer_objects_are_larger_and_lower():
    """One object: the rows it changes against the same scene without it."""
    scene = compose(1, np.random.default_rng(0))
    extents = []
    for depth in (3.0, 6.0, 12.0):
        one = scene._replace(depths=np.array([depth]), places=np.array([0.0]))
        empty = scene._replace(depths=np.array([]), places=np.array([]))
        images = [paint(s, np.random.default_rng(5), 64).astype(int) for s in (one, empty)]
        rows = np.flatnonzero(abs(images[0] - images[1]).max((1, 2)) > 60)
        extents.append((rows[-1], len(rows)))
    assert extents == sorted(extents, reverse=True)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(split='val'), 'split must be one of'),
        (dict(target='colour'), 'target must be one of'),
        (dict(num_images=15), 'num_images must be an integer >= 16'),
        (dict(images_per_kind=3), "'train' takes num_images"),
        (dict(split='test', images_per_kind=0), 'images_per_kind must be'),
        (dict(exponent=-1), 'exponent must be'),
        (dict(image_size=8.5), 'image_size must be'),
    ],
)
def test_bad_arguments(changes, message):
    with pytest.raises(UserError, match=message):
        build(**changes)
    with pytest.raises(UserError, match='kind=16'):
        kind_name(16)


def test_names():
    assert len({kind_name(kind) for kind in range(NUM_KINDS)}) == NUM_KINDS

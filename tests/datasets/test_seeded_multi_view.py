import copy
import random

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import sampler as mmengine_sampler
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.datasets import MultiView, PackInputs
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from mmssl_prior.datasets import EpochIndex, SeededMultiView

CROP = dict(type='SeededRandomResizedCrop', scale=16, crop_ratio_range=(0.3, 1.0))
FOCAL = dict(type='SeededRandomResizedCrop', scale=10, crop_ratio_range=(0.05, 0.3))
SEEDED = [
    CROP,
    dict(type='SeededFlip'),
    dict(type='SeededColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
    dict(type='SeededGaussianBlur'),
]
STOCK = [
    dict(type='RandomResizedCrop', scale=16, backend='pillow'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomGrayscale', prob=0.5, keep_channels=True),
    dict(type='RandomErasing', erase_prob=0.5, mode='rand'),
]
TORCHVISION = [
    dict(type='NumpyToPIL', to_rgb=True),
    dict(type='torchvision/RandomResizedCrop', size=16),
    dict(type='torchvision/RandomHorizontalFlip'),
    dict(type='PILToNumpy', to_bgr=True),
]
MIXED = [
    dict(type='RandomFlip', prob=0.5),
    CROP,
    dict(type='RandomErasing', erase_prob=0.5),
    dict(type='SeededFlip'),
]
PIPELINES = dict(seeded=SEEDED, stock=STOCK, torchvision=TORCHVISION, mixed=MIXED)


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.fixture
def array():
    return np.random.default_rng(0).integers(0, 256, (24, 30, 3), dtype=np.uint8)


def multi_view(*transforms, num_views=None):
    return SeededMultiView(list(transforms), num_views or [1] * len(transforms))


def states():
    return (
        random.getstate(),
        np.random.get_state()[1].tolist(),
        np.random.get_state()[2:],
        torch.get_rng_state().tolist(),
    )


def all_equal(one, two):
    return len(one) == len(two) and all(np.array_equal(a, b) for a, b in zip(one, two))


@pytest.mark.parametrize('steps', PIPELINES.values(), ids=PIPELINES)
def test_a_function_of_seed_epoch_index_and_view(array, steps):
    transform = multi_view(steps, [FOCAL], num_views=[3, 2])
    views = transform(dict(img=array, sample_idx=EpochIndex(4, seed=1, epoch=2)))['img']
    assert [v.shape for v in views] == [(16, 16, 3)] * 3 + [(10, 10, 3)] * 2
    assert all(v.dtype == np.uint8 for v in views)
    assert not any(np.array_equal(views[i], views[j]) for i in range(3) for j in range(i))
    random.seed(7), np.random.seed(7), torch.manual_seed(7)
    # Neither the index within a wrapped dataset nor anything global matters.
    again = transform(dict(img=array, sample_idx=EpochIndex(0, 1, 2, origin=4)))['img']
    assert all_equal(views, again)
    # A view does not depend on how many others there are.
    fewer = multi_view(steps, num_views=2)(dict(img=array, sample_idx=EpochIndex(4, 1, 2)))['img']
    assert all_equal(views[:2], fewer)
    for other in (EpochIndex(4, 1, 3), EpochIndex(4, 2, 2), EpochIndex(5, 1, 2)):
        assert not all_equal(views, transform(dict(img=array, sample_idx=other))['img'])


def test_plain_index_is_epoch_zero_of_seed_zero(array):
    transform = multi_view(SEEDED, num_views=2)
    by_hand = transform(dict(img=array, sample_idx=3))['img']
    assert all_equal(by_hand, transform(dict(img=array, sample_idx=EpochIndex(3, 0, 0)))['img'])
    assert all_equal(
        transform(dict(img=array))['img'], transform(dict(img=array, sample_idx=0))['img']
    )


@pytest.mark.parametrize('steps', PIPELINES.values(), ids=PIPELINES)
def test_global_generators_are_left_alone(array, steps):
    before = states()
    multi_view(steps, num_views=3)(dict(img=array, sample_idx=2))
    assert states() == before


def test_global_generators_are_restored_after_an_error(array):

    def fail(results):
        random.random(), np.random.rand(), torch.rand(1)
        raise RuntimeError('no')

    before = states()
    with pytest.raises(RuntimeError, match='no'):
        multi_view([fail])(dict(img=array))
    assert states() == before


class Spoiler(BaseTransform):
    """Changes everything in place."""

    def transform(self, results):
        results['img'][:] = 0
        results['numbers'].append(1)
        results['gt_label'] = -1
        return results


@pytest.mark.parametrize(
    'steps',
    [*PIPELINES.values(), [Spoiler()], [CROP, Spoiler()], []],
    ids=[*PIPELINES, 'spoiler', 'spoiler behind ours', 'nothing'],
)
def test_input_is_not_changed(array, steps):
    results = dict(img=array, sample_idx=1, gt_label=2, numbers=[5])
    before = copy.deepcopy(results)
    output = multi_view(steps, num_views=2)(results)
    assert {k: v for k, v in results.items() if k != 'img'} == {
        k: v for k, v in before.items() if k != 'img'
    }
    np.testing.assert_array_equal(results['img'], before['img'])
    assert output['numbers'] == [5] and output['gt_label'] == 2
    for view in output['img']:
        view[:] = 1
    np.testing.assert_array_equal(results['img'], before['img'])


def test_a_pil_image_stays_one(array):
    picture = Image.fromarray(array[..., ::-1])
    for steps in (SEEDED, [], [dict(type='SeededFlip', prob=0.0)]):
        views = multi_view(steps, num_views=2)(dict(img=picture))['img']
        assert all(isinstance(v, Image.Image) and v is not picture for v in views)
        arrays = multi_view(steps, num_views=2)(dict(img=array))['img']
        assert all_equal([np.asarray(v)[..., ::-1] for v in views], arrays)


def test_same_signature_and_shapes_as_multi_view(array):
    arguments = dict(transforms=[STOCK, [dict(type='Resize', scale=10)]], num_views=[2, 3])
    ours = TRANSFORMS.build(dict(type='SeededMultiView', **arguments))(dict(img=array))
    theirs = MultiView(**copy.deepcopy(arguments))(dict(img=array))
    assert [v.shape for v in ours['img']] == [v.shape for v in theirs['img']]
    np.testing.assert_array_equal(ours['img'][4], theirs['img'][4])


def test_seeded_transforms_within_stock_containers(array):
    inside = [dict(type='RandomApply', prob=1.0, transforms=[CROP])]
    transform = multi_view(inside, num_views=2)
    views = transform(dict(img=array, sample_idx=EpochIndex(1, 2, 3)))['img']
    assert not np.array_equal(*views)
    assert all_equal(views, transform(dict(img=array, sample_idx=EpochIndex(1, 2, 3)))['img'])


def test_pack_inputs_behind_it(array):
    index = EpochIndex(1, 2, 3)
    results = multi_view(SEEDED, [FOCAL], num_views=[2, 1])(
        dict(img=array, sample_idx=index, gt_label=4)
    )
    packed = PackInputs()(results)
    assert [tuple(v.shape) for v in packed['inputs']] == [(3, 16, 16)] * 2 + [(3, 10, 10)]
    for tensor, view in zip(packed['inputs'], results['img']):
        torch.testing.assert_close(tensor, torch.from_numpy(view.copy()).permute(2, 0, 1))
    assert packed['data_samples'].sample_idx == 1
    assert packed['data_samples'].gt_label.item() == 4


def build_loader(steps=SEEDED, seed=3, **kwargs):
    dataset = dict(
        type='DigitsLT',
        split='test',
        images_per_class=2,
        image_size=20,
        pipeline=[
            dict(type='SeededMultiView', transforms=[steps, [FOCAL]], num_views=[1, 2]),
            dict(type='PackInputs'),
        ],
    )
    config = dict(
        dataset=dataset,
        sampler=dict(type='EpochSampler', shuffle=True),
        batch_size=4,
        num_workers=0,
    )
    return Runner.build_dataloader({**config, **kwargs}, seed=seed)


def epoch_views(loader, epoch):
    """Views by index, and the order of the indices."""
    loader.sampler.set_epoch(epoch)
    views = {}
    for batch in loader:
        for k, sample in enumerate(batch['data_samples']):
            views[int(sample.sample_idx)] = [view[k].numpy() for view in batch['inputs']]
    return views


@pytest.fixture(scope='module')
def expected():
    """Views of three epochs, from one process without workers."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return {
            name: [epoch_views(build_loader(steps), epoch) for epoch in range(3)]
            for name, steps in (('seeded', SEEDED), ('stock', STOCK))
        }


def check(views, expected):
    assert len(views) == 20
    assert list(views) == list(expected)
    for index, images in views.items():
        assert all_equal(images, expected[index])


@pytest.mark.parametrize('name', ['seeded', 'stock'])
@pytest.mark.parametrize(
    'workers',
    [
        dict(num_workers=0),
        dict(num_workers=1, prefetch_factor=4),
        dict(num_workers=2),
        dict(num_workers=2, persistent_workers=True),
    ],
    ids=['none', 'one', 'two', 'persistent'],
)
def test_workers_change_nothing(expected, name, workers):
    loader = build_loader(PIPELINES[name], **workers)
    for epoch in range(3):
        check(epoch_views(loader, epoch), expected[name][epoch])


def test_spawned_workers_change_nothing(expected):
    loader = build_loader(num_workers=1, persistent_workers=True, multiprocessing_context='spawn')
    for epoch in range(2):
        check(epoch_views(loader, epoch), expected['seeded'][epoch])


def test_epochs_and_seeds_differ(expected):
    first, second, _ = expected['seeded']
    other = epoch_views(build_loader(seed=4), 0)
    for index in first:
        assert not all_equal(first[index], second[index])
        assert not all_equal(first[index], other[index])


def test_resume_begins_where_it_stopped(expected):
    check(
        epoch_views(build_loader(num_workers=2, persistent_workers=True), 2), expected['seeded'][2]
    )


@pytest.mark.parametrize('world_size', [2, 3])
def test_ranks_change_nothing(expected, monkeypatch, world_size):
    union = {}
    for rank in range(world_size):
        monkeypatch.setattr(mmengine_sampler, 'get_dist_info', lambda rank=rank: (rank, world_size))
        union.update(epoch_views(build_loader(), 1))
    reference = expected['seeded'][1]
    assert set(union) == set(reference)
    for index in union:
        assert all_equal(union[index], reference[index])


def test_order_and_batches_change_nothing(expected):
    loader = build_loader(batch_size=7, sampler=dict(type='EpochSampler', shuffle=False))
    views = epoch_views(loader, 1)
    assert list(views) == list(range(20))
    for index in views:
        assert all_equal(views[index], expected['seeded'][1][index])


@pytest.mark.parametrize(
    ('num_views', 'message'),
    [
        ([1, 2], 'one number for each of the 1 pipelines'),
        (0, 'must be positive'),
        ([1.5], 'must be positive'),
    ],
)
def test_bad_numbers_of_views(num_views, message):
    with pytest.raises(ValueError, match=message):
        SeededMultiView([SEEDED], num_views)


def test_repr_shows_the_pipelines():
    text = repr(multi_view(SEEDED, [FOCAL], num_views=[2, 10]))
    assert '2 x [' in text and '10 x [' in text and 'SeededFlip(prob=0.5' in text

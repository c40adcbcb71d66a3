import random

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS

from mmssl_prior.errors import UserError
from mmssl_prior.visualization import browse
from tests.smoke import ROOT

COLOR = [dict(type='SeededColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, prob=0.8)]
CROP = dict(type='SeededRandomResizedCrop', scale=32, crop_ratio_range=(0.3, 1.0))
VIEWS = [dict(type='SeededMultiView', transforms=[[CROP, *COLOR]], num_views=[3])]


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def loader(*steps, **dataset):
    return dict(
        batch_size=4,
        num_workers=2,
        persistent_workers=True,
        prefetch_factor=2,
        drop_last=True,
        sampler=dict(type='EpochSampler', shuffle=True),
        collate_fn=dict(type='default_collate'),
        dataset=dict(
            type='PatternsLT', num_images=20, pipeline=[*steps, dict(type='PackInputs')], **dataset
        ),
    )


def drawn(cfg, seed, epoch, number):
    """What a training's loader with workers hands to the model, as RGB."""
    built = Runner.build_dataloader(cfg, seed=seed)
    built.batch_sampler.sampler.set_epoch(epoch)
    batches = list(built)
    return [
        [view[i].flip(0).movedim(0, -1).numpy() for view in batch['inputs']]
        for batch in batches
        for i in range(4)
    ][:number]


def test_what_is_drawn_is_what_training_sees():
    cfg = loader(*VIEWS)
    expected = drawn(cfg, seed=7, epoch=2, number=6)
    images = list(browse(cfg, 6, seed=7, epoch=2))
    assert len(images) == 6
    for image, views in zip(images, expected):
        for mine, theirs in zip(image.views, views, strict=True):
            assert np.array_equal(mine, theirs)


def test_original_and_label_are_those_of_the_index():
    cfg = loader(*VIEWS)
    dataset = DATASETS.build(cfg['dataset'] | dict(pipeline=[]))
    for image in browse(cfg, 5):
        source = dataset.get_data_info(image.sample_idx)
        assert np.array_equal(image.original, source['img'][..., ::-1])
        assert image.label == source['gt_label'] and image.path == '' and image.mask is None


def test_more_than_there_are():
    assert len(list(browse(loader(*VIEWS), 100))) == 20, 'not cut to whole batches'


def test_stock_transforms_repeat_and_leave_the_generators_alone():
    steps = [
        dict(
            type='MultiView',
            transforms=[
                [dict(type='RandomResizedCrop', scale=24), dict(type='RandomFlip', prob=0.5)]
            ],
            num_views=[2],
        )
    ]
    before = random.getstate(), np.random.get_state()[1].tolist()
    one, two, other = (list(browse(loader(*steps), 3, seed=1, epoch=epoch)) for epoch in (0, 0, 1))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    assert all(np.array_equal(a, b) for x, y in zip(one, two) for a, b in zip(x.views, y.views))
    assert not all(
        np.array_equal(a, b) for x, y in zip(one, other) for a, b in zip(x.views, y.views)
    )


def test_single_view_wrapper_and_mask():
    cfg = loader(dict(type='Resize', scale=32, backend='pillow'))
    mask = dict(
        type='BEiTMaskGenerator', input_size=(4, 4), num_masking_patches=8, min_num_patches=2
    )
    cfg['dataset']['pipeline'].insert(1, mask)
    cfg['dataset'] = dict(type='RepeatDataset', times=2, dataset=cfg['dataset'])
    for image in browse(cfg, 3):
        assert [view.shape for view in image.views] == [(32, 32, 3)]
        assert image.mask.shape == (4, 4) and image.mask.any()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [(dict(number=0), 'at least 1, got 0'), (dict(number=1, epoch=-1), 'counted from 1, got 0')],
)
def test_wrong_numbers(arguments, message):
    with pytest.raises(UserError, match=message):
        next(browse(loader(*VIEWS), **arguments))


def test_no_image():
    cfg = loader()
    cfg['dataset'] = dict(
        type='CustomDataset',
        data_root=str(ROOT / 'configs'),
        with_label=False,
        extensions=('.py',),
        pipeline=[],
    )
    with pytest.raises(UserError, match='no step of the pipeline leaves an image'):
        next(browse(cfg, 1))

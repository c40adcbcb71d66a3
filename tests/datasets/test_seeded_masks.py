"""Masks: how many, where, how connected, and that they depend on (seed, epoch, index) alone."""

import random
from collections import Counter

import numpy as np
import pytest
import torch
from mmpretrain.registry import TRANSFORMS
from scipy import ndimage
from torch.utils.data import DataLoader

from mmssl_prior.datasets import (
    EpochIndex,
    EpochSampler,
    PatternsLT,
    SeededBlockMask,
    SeededMultiView,
    SeededRandomMask,
)


def draw(transform, count, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([transform.draw(rng) for _ in range(count)])


@pytest.fixture(scope='module')
def blocks():
    return draw(SeededBlockMask(14), 3000)


def test_exactly_as_many_are_hidden_in_each_image(blocks):
    assert Counter(blocks.sum((1, 2)).tolist()) == {120: 3000}
    for grid, hidden, area in (
        ((3, 9), 20, (1, 27)),
        ((8, 8), 39, (5, 64)),
        ((2, 2), 3, (16, 196)),
    ):
        masks = draw(SeededBlockMask(grid, hidden, area), 200)
        assert masks.shape[1:] == grid and masks.dtype == bool
        assert set(masks.sum((1, 2)).tolist()) == {hidden}


def test_blocks_are_symmetric_and_reach_every_edge(blocks):
    """The chance to be hidden is the same under the symmetries of the square."""
    share = blocks.mean(0)
    assert share.min() > 0.05
    for other in (share[::-1], share[:, ::-1], share.T):
        assert np.abs(share - other).max() < 0.07  # five standard deviations
    assert abs(share[0].mean() - share[-1].mean()) < 0.02


def test_blocks_are_contiguous(blocks):
    """A few pieces, where single patches at random would fall into many."""
    scattered = draw(SeededRandomMask(14, 1 - 76 / 196), 300)
    assert set(scattered.sum((1, 2)).tolist()) == {120}

    def border(masks):
        """Pairs of neighbours of which one is hidden."""
        return (masks[:, 1:] ^ masks[:, :-1]).sum((1, 2)) + (masks[..., 1:] ^ masks[..., :-1]).sum(
            (1, 2)
        )

    pieces = [ndimage.label(mask)[1] for mask in blocks[:300]]
    assert np.mean(pieces) < 1.3
    assert border(blocks).mean() < 0.35 * border(scattered).mean()


def test_first_block_keeps_its_bounds():
    """One block alone: its area and aspect ratio are those asked for, up to rounding."""
    transform = SeededBlockMask((30, 40), num_hidden=300, block_range=(60, 150))
    rng, areas = np.random.default_rng(0), []
    for _ in range(300):
        mask = np.zeros((30, 40), bool)
        assert transform._add_block(mask, 300, rng)
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        h, w = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert mask.sum() == h * w, 'a rectangle'
        assert 0.25 < h / w < 4
        areas.append(h * w)
    assert 50 < min(areas) < 65 and 145 < max(areas) < 165


def test_patches_of_a_random_mask_are_equally_likely():
    masks = draw(SeededRandomMask(14), 2000)
    assert set(masks.sum((1, 2)).tolist()) == {147}
    assert np.abs(masks.mean(0) - 0.75).max() < 5 * (0.75 * 0.25 / 2000) ** 0.5
    assert SeededRandomMask(8, 0.75).num_hidden == 48
    assert SeededRandomMask((4, 5), 0.15).num_hidden == 3


@pytest.mark.parametrize('transform', [SeededRandomMask(14), SeededBlockMask(14)], ids=repr)
def test_a_function_of_seed_epoch_and_index(transform):
    def mask(*args, **kwargs):
        random.random(), np.random.rand(), torch.rand(1)  # the global generators move on
        return transform.transform(dict(sample_idx=EpochIndex(*args, **kwargs)))['mask']

    one = mask(3, seed=1, epoch=2)
    assert (mask(3, seed=1, epoch=2) == one).all()
    # A wrapper moved the index: the image is the same.
    assert (mask(9, seed=1, epoch=2, origin=3) == one).all()
    for other in (mask(4, seed=1, epoch=2), mask(3, seed=2, epoch=2), mask(3, seed=1, epoch=3)):
        assert (other != one).any()


def test_input_is_not_changed_and_the_image_neither():
    results = dict(img=np.zeros((4, 4, 3), np.uint8), sample_idx=5)
    out = SeededRandomMask(2).transform(results)
    assert 'mask' not in results and out['img'] is results['img']


@pytest.mark.parametrize('world_size', [1, 2])
def test_masks_through_a_data_loader(world_size):
    """The same for an image whatever the number of workers and ranks; new in each epoch."""
    pipeline = [
        dict(type='SeededFlip'),
        dict(type='SeededBlockMask', grid=4, num_hidden=6, block_range=(2, 6)),
        dict(type='PackInputs'),
    ]
    data = PatternsLT(num_images=32, pipeline=pipeline)

    def masks(workers, ranks, epoch):
        found = {}
        for rank in range(ranks):
            sampler = EpochSampler(data, shuffle=True, seed=7)
            sampler.rank, sampler.world_size = rank, ranks
            sampler.num_samples = len(data) // ranks
            sampler.set_epoch(epoch)
            for batch in DataLoader(
                data, 4, sampler=sampler, num_workers=workers, collate_fn=lambda b: b
            ):
                found |= {int(s['data_samples'].sample_idx): s['data_samples'].mask for s in batch}
        return torch.stack([found[i] for i in range(32)])

    first = masks(0, 1, epoch=0)
    assert first.dtype == torch.bool and first.sum((1, 2)).eq(6).all()
    assert torch.equal(masks(world_size - 1, world_size, epoch=0), first)
    assert (masks(0, world_size, epoch=1) != first).flatten(1).any(1).float().mean() > 0.9


def test_not_for_a_view():
    views = SeededMultiView([[dict(type='SeededRandomMask', grid=4)]], 2)
    with pytest.raises(ValueError, match='a sample, not to a view'):
        views.transform(dict(img=np.zeros((8, 8, 3), np.uint8), sample_idx=0))


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        (dict(type='SeededRandomMask', grid=0), 'grid'),
        (dict(type='SeededRandomMask', grid=(4, 4, 4)), 'grid'),
        (dict(type='SeededRandomMask', grid=4, ratio=1.0), 'ratio'),
        (dict(type='SeededRandomMask', grid=4, ratio=-0.1), 'ratio'),
        (dict(type='SeededRandomMask', grid=4, ratio=0.97), 'leave a patch'),
        (dict(type='SeededBlockMask', grid=4, num_hidden=16), 'num_hidden must be from 1 to 15'),
        (dict(type='SeededBlockMask', grid=4, num_hidden=4, block_range=(0, 4)), 'block_range'),
        (dict(type='SeededBlockMask', grid=4, num_hidden=4, block_range=(5, 4)), 'block_range'),
        (
            dict(type='SeededBlockMask', grid=4, num_hidden=4, aspect_ratio_range=(0, 1)),
            'aspect ratio must not be zero',
        ),
    ],
)
def test_bad_arguments(cfg, message):
    with pytest.raises(ValueError, match=message):
        TRANSFORMS.build(cfg)

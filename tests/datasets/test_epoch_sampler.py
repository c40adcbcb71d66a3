import copy
import pickle

import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset, DefaultSampler, RepeatDataset
from mmengine.dataset import sampler as mmengine_sampler
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATA_SAMPLERS

from mmssl_prior.datasets import EpochIndex, EpochSampler, index_generator


class Numbers(BaseDataset):
    """As many samples as asked for, each its own index."""

    def __init__(self, size, **kwargs):
        self.size = size
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self):
        return [dict(gt_label=0) for _ in range(self.size)]


def bearings(index):
    return int(index), index.seed, index.epoch, index.origin


@pytest.mark.parametrize(
    'through',
    [
        copy.copy,
        copy.deepcopy,
        *(lambda x, p=p: pickle.loads(pickle.dumps(x, p)) for p in range(2, 6)),
    ],
)
def test_index_survives_copies(through):
    index = EpochIndex(4, seed=2**40, epoch=3, origin=9)
    assert bearings(through(index)) == (4, 2**40, 3, 9)
    assert type(through(index)) is EpochIndex


def test_index_is_an_integer():
    index = EpochIndex(4, seed=1, epoch=3)
    assert index == 4 and hash(index) == hash(4) and [0, 1, 2, 3, 'x'][index] == 'x'
    assert f'{index} {index:03d} {str(index)}' == '4 004 4'
    assert EpochIndex.of(index) is index and bearings(EpochIndex.of(5)) == (5, 0, 0, 5)
    assert bearings(EpochIndex(np.int64(5), torch.tensor(1))) == (5, 1, 0, 5)


def test_arithmetic_keeps_the_bearings():
    index = EpochIndex(14, seed=1, epoch=3)
    for moved, value in (
        (index - 4, 10),
        (index % 5, 4),
        (index + 1, 15),
        (3 + index, 17),
        ((index - 4) % 3, 1),
    ):
        assert bearings(moved) == (value, 1, 3, 14)


def test_bearings_pass_mmengine_wrappers():
    def repeated(dataset, times):
        return dict(type=RepeatDataset, dataset=dataset, times=times)

    inner = dict(type=ConcatDataset, datasets=[Numbers(1), repeated(Numbers(2), 2)])
    data = ConcatDataset([Numbers(3), repeated(Numbers(2), 4), repeated(inner, 2)])
    expected = [0, 1, 2] + [0, 1] * 4 + [0, 0, 1, 0, 1] * 2
    assert len(data) == len(expected)
    for i, value in enumerate(expected):
        seen = data[EpochIndex(i, seed=5, epoch=2)]['sample_idx']
        assert bearings(seen) == (value, 5, 2, i)


def test_generators_depend_on_all_bearings_and_nothing_else():
    first = index_generator(EpochIndex(3, 1, 2), 0).random(4)
    again = index_generator(EpochIndex(8, 1, 2, origin=3), 0).random(4)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(
        index_generator(3).random(4), index_generator(EpochIndex(3, 0, 0)).random(4)
    )
    keys = [
        (EpochIndex(3, 1, 2), 0),
        (EpochIndex(3, 2, 1), 0),
        (EpochIndex(2, 1, 3), 0),
        (EpochIndex(3, 1, 2), 1),
        (EpochIndex(3, 1, 2), 0, 0),
        (EpochIndex(3, 1, 2),),
        (EpochIndex(3, 1 + 2**32, 2), 0),
        (EpochIndex(3, 1 + 2**64, 2), 0),
    ]
    assert len({index_generator(index, *stream).random() for index, *stream in keys}) == len(keys)


@pytest.mark.parametrize('shuffle', [True, False])
@pytest.mark.parametrize('round_up', [True, False])
@pytest.mark.parametrize('world_size', [1, 2, 3])
def test_order_is_that_of_the_default_sampler(monkeypatch, shuffle, round_up, world_size):
    drawn = []
    for rank in range(world_size):
        monkeypatch.setattr(mmengine_sampler, 'get_dist_info', lambda rank=rank: (rank, world_size))
        ours = EpochSampler(range(10), shuffle=shuffle, seed=4, round_up=round_up)
        theirs = DefaultSampler(range(10), shuffle=shuffle, seed=4, round_up=round_up)
        for epoch in (0, 1, 5):
            ours.set_epoch(epoch)
            theirs.set_epoch(epoch)
            indices = list(ours)
            assert indices == list(theirs)
            assert len(indices) == len(ours) == len(theirs)
            assert {(i.seed, i.epoch) for i in indices} == {(4, epoch)}
            assert all(i.origin == i for i in indices)
        drawn += indices
    assert set(drawn) == set(range(10))
    assert len(drawn) == 10 if not round_up else len(drawn) == -(-10 // world_size) * world_size


def test_exact_indices():
    sampler = DATA_SAMPLERS.build(dict(type='EpochSampler', dataset=range(5), shuffle=True, seed=0))
    assert list(sampler) == [4, 0, 1, 3, 2]
    sampler.set_epoch(1)
    assert list(sampler) == [0, 4, 2, 3, 1]


def test_indices_drawn_late_belong_to_their_epoch():
    sampler = EpochSampler(range(4), seed=0)
    indices = iter(sampler)
    sampler.set_epoch(1)
    assert {i.epoch for i in indices} == {0}


def test_workers_that_persist_learn_the_epoch():
    data = Numbers(6)
    sampler = EpochSampler(data, seed=3)
    loader = torch.utils.data.DataLoader(
        data, batch_size=2, sampler=sampler, num_workers=1, persistent_workers=True, collate_fn=list
    )
    for epoch in (0, 1, 4):
        sampler.set_epoch(epoch)
        seen = [sample['sample_idx'] for batch in loader for sample in batch]
        assert sorted(seen) == list(range(6)) and seen == list(sampler)
        assert {(i.seed, i.epoch) for i in seen} == {(3, epoch)}

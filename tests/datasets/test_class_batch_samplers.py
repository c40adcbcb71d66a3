import itertools

import numpy as np
import pytest
import torch
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, InfiniteSampler, RepeatDataset
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.datasets import BaseDataset, PackInputs
from mmpretrain.registry import DATASETS

from mmssl_prior.datasets import (
    ClassImbalancedBatchSampler,
    ClassIndex,
    EpochIndex,
    EpochSampler,
    INaturalist2018,
    LoadImage,
    LongTailSubset,
    PowerLawBatchSampler,
    ResamplingBatchSampler,
    SeededClassBalancedDataset,
    dataset_labels,
    index_generator,
)
from mmssl_prior.datasets.samplers import class_batch_sampler
from mmssl_prior.datasets.samplers.deck import Deck, Rotation, keyed_generator
from mmssl_prior.errors import UserError
from tests.gloo import run_ranks
from tests.miniatures import make_inaturalist2018


@DATASETS.register_module()
class SomeLabels(BaseDataset):
    """Samples with these labels, not sorted."""

    def __init__(self, sizes, labelled=True, **kwargs):
        labels = np.repeat(np.arange(len(sizes)), sizes)
        self.labels = np.random.default_rng(0).permutation(labels).tolist()
        self.labelled = labelled
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self):
        return [dict(gt_label=label) if self.labelled else {} for label in self.labels]


def sampler_of(sizes, batch_size, *args, kind=ClassImbalancedBatchSampler, seed=0, **kwargs):
    data = SomeLabels(sizes) if isinstance(sizes, (list, tuple)) else sizes
    return kind(EpochSampler(data, seed=seed), batch_size, *args, **kwargs)


def on_ranks(monkeypatch, world_size, *args, **kwargs):
    """The sampler of every rank."""
    output = []
    for rank in range(world_size):
        monkeypatch.setattr(
            class_batch_sampler, 'get_dist_info', lambda rank=rank: (rank, world_size)
        )
        output.append(sampler_of(*args, **kwargs))
    return output


def epochs(sampler, numbers):
    for number in numbers:
        sampler.sampler.set_epoch(number)
        yield from sampler


# The deck


@pytest.mark.parametrize('size', [1, 2, 3, 4, 5, 8, 13])
def test_deck(size):
    for window in range((size + 1) // 2 + 1):
        deck = Deck(size, window, 3, 1)
        cards = deck.draw(0, 20 * size).tolist()
        for turn in range(20):
            assert sorted(cards[turn * size : (turn + 1) * size]) == list(range(size))
        for i in range(len(cards) - window):
            assert len(set(cards[i : i + window])) == window
        for start, number in ((0, 0), (size - 1, 2), (7 * size + 1, 3 * size), (19 * size, size)):
            found = Deck(size, window, 3, 1).draw(start, number)
            assert found.tolist() == cards[start : start + number]
            expected = np.bincount(cards[:start], minlength=size)
            np.testing.assert_array_equal(deck.counts(start), expected)


def test_deck_is_uniform_where_nothing_is_put_off():
    first = [Deck(4, 2, seed).order(1)[0] for seed in range(1000)]
    assert all(180 < first.count(card) < 320 for card in range(4))
    # The tail of every pass is that of the shuffle.
    last = [Deck(4, 2, seed).order(5)[-1] for seed in range(1000)]
    assert all(180 < last.count(card) < 320 for card in range(4))


def test_deck_refuses_what_it_cannot_keep():
    with pytest.raises(ValueError, match='3 of 4 cards cannot be kept apart'):
        Deck(4, 3, 0)


@pytest.mark.parametrize('size', [1, 2, 3, 4, 7])
@pytest.mark.parametrize('share', [1, 2, 3, 4, 5, 7, 9, 15])
def test_rotation(size, share):
    extras = np.random.default_rng(size * 100 + share).random(30) < 0.4
    counts, draws, longer = np.zeros(size, int), 0, 0
    rotation = Rotation(size, share, 5, 2)
    for extra in extras.tolist():
        np.testing.assert_array_equal(rotation.counts(draws, longer), counts)
        items = rotation.draw(draws, longer, extra)
        assert len(items) == share + extra
        here = np.bincount(items, minlength=size)
        assert here.max() - here.min() <= 1
        fresh = Rotation(size, share, 5, 2).draw(draws, longer, extra)
        np.testing.assert_array_equal(items, fresh)
        counts += here
        assert counts.max() - counts.min() <= 1
        draws, longer = draws + (not extra), longer + extra


def test_generators_differ_by_every_key():
    keys = [(0, 1), (0, 1, 0), (0, 1, 0, 0), (0, 0, 1), (0, 2), (1, 1), (2**70, 1), (0, 1, 1)]
    assert len({keyed_generator(*key).random() for key in keys}) == len(keys)


# Batches of K classes


def test_exact_indices():
    sampler = sampler_of([3, 1, 2, 4], 4, 2, seed=1)
    assert sampler.sampler.dataset.labels == [2, 3, 0, 3, 1, 2, 3, 0, 3, 0]
    first, second = [list(map(int, batch)) for batch in epochs(sampler, (0,))]
    assert (first, second) == ([6, 4, 4, 8], [7, 2, 0, 5])
    assert list(epochs(sampler, (1,))) == [[7, 0, 9, 5], [3, 1, 4, 4]]
    assert list(epochs(sampler_of([3, 1, 2, 4], 4, 2, seed=2), (0,))) != [first, second]
    weighted = sampler_of([3, 1, 2, 4], 4, kind=PowerLawBatchSampler, seed=1)
    assert list(epochs(weighted, (0, 1))) == [
        [4, 5, 0, 0],
        [5, 6, 5, 8],
        [1, 7, 0, 0],
        [5, 0, 5, 5],
    ]


GRID = [
    (sizes, world_size, scope, k, batch_size)
    for sizes in ([5] * 8, [1, 16, 2, 9, 1, 3, 1, 20], [1] * 6 + [30])
    for world_size, scope, k, batch_size in (
        (1, 'shared', 1, 4),
        (1, 'shared', 6, 7),
        (2, 'shared', 3, 4),
        (3, 'shared', 2, 4),
        (3, 'shared', 6, 3),
        (2, 'disjoint', 2, 5),
        (2, 'disjoint', 6, 4),
        (3, 'disjoint', 6, 3),
    )
]


@pytest.mark.parametrize(('sizes', 'world_size', 'scope', 'k', 'batch_size'), GRID)
def test_class_counts(monkeypatch, sizes, world_size, scope, k, batch_size):
    samplers = on_ranks(monkeypatch, world_size, sizes, batch_size, k, scope)
    labels = dataset_labels(samplers[0].sampler.dataset)
    size = world_size * batch_size
    length = len(labels) // size
    passes, used = [], np.zeros(len(labels), int)
    for batches in zip(*(epochs(s, range(6)) for s in samplers)):
        ranks = [labels[batch] for batch in batches]
        assert [len(r) for r in ranks] == [batch_size] * world_size
        together = np.concatenate(batches)
        classes, counts = np.unique(labels[together], return_counts=True)
        assert len(classes) == k
        assert counts.min() >= size // k and counts.max() <= -(-size // k)
        if scope == 'disjoint':
            own = [set(r.tolist()) for r in ranks]
            assert [len(o) for o in own] == [k // world_size] * world_size
            assert len(set.union(*own)) == k
        else:
            for c in classes:
                shares = [(r == c).sum() for r in ranks]
                assert max(shares) - min(shares) <= 1
        # No image twice but in classes smaller than their share, and there as evenly as can be.
        times = np.bincount(together, minlength=len(labels))
        for c in classes:
            of_class = times[labels == c]
            assert of_class.max() - of_class.min() <= 1
        used += times
        for c in classes:
            of_class = used[labels == c]
            assert of_class.max() - of_class.min() <= 1
        origins = [index.origin for batch in batches for index in batch]
        assert len(set(origins)) == size
        passes += [set(classes.tolist())]
    assert len(passes) == 6 * length == 6 * len(samplers[0])
    often = np.bincount([c for p in passes for c in p], minlength=len(sizes))
    assert often.max() - often.min() <= 1


def test_shared_batches_do_not_depend_on_the_number_of_ranks(monkeypatch):
    sizes = [9, 4, 1, 20, 6]
    (one,) = on_ranks(monkeypatch, 1, sizes, 12, 3)
    three = on_ranks(monkeypatch, 3, sizes, 4, 3)
    for whole, *parts in zip(epochs(one, range(4)), *(epochs(s, range(4)) for s in three)):
        assert sorted(whole) == sorted(itertools.chain(*parts))


@pytest.mark.parametrize(
    ('kind', 'kwargs'),
    [
        (ClassImbalancedBatchSampler, dict(num_classes_per_batch=3)),
        (ClassImbalancedBatchSampler, dict(num_classes_per_batch=4, epoch='classes')),
        (PowerLawBatchSampler, {}),
        (ResamplingBatchSampler, {}),
    ],
)
def test_skipping_is_as_if_one_had_been_there(kind, kwargs):
    sizes = [9, 4, 1, 20, 6, 30]
    whole = [
        [(int(i), i.seed, i.epoch, i.origin) for i in batch]
        for batch in epochs(sampler_of(sizes, 7, kind=kind, **kwargs), range(5))
    ]
    length = len(sampler_of(sizes, 7, kind=kind, **kwargs))
    for start in (1, length, 3 * length + length // 2, 5 * length):
        sampler = sampler_of(sizes, 7, kind=kind, **kwargs)
        sampler.skip(start)
        for _ in range(2):  # and as often as one asks
            rest = [
                [(int(i), i.seed, i.epoch, i.origin) for i in batch]
                for batch in epochs(sampler, range(5))
            ]
            assert rest == whole[start:]
    # A look at the first batch, an epoch begun and left, another seed: nothing of it stays.
    sampler = sampler_of(sizes, 7, kind=kind, **kwargs)
    sampler.sampler.set_epoch(3)
    next(iter(sampler))
    sampler.sampler.seed = 9
    list(sampler)
    sampler.sampler.seed = 0
    left = epochs(sampler, range(5))
    other = epochs(sampler_of(sizes, 7, kind=kind, **kwargs), range(5))
    assert all(a == b for a, b in zip(left, other))
    with pytest.raises(UserError, match='num_batches must be an integer >= 0, got -1'):
        sampler.skip(-1)


def test_length():
    assert len(sampler_of([10] * 10, 7, 2)) == 14
    assert len(sampler_of([10] * 10, 7, 2, epoch='classes')) == 5
    assert len(sampler_of([10] * 10, 7, 3, epoch='classes')) == 3
    assert len(sampler_of([1] * 3, 64, 3, epoch='classes')) == 1


def test_an_image_that_comes_twice_has_other_views():
    sampler = sampler_of([1, 9], 4, 2)
    (label,) = np.flatnonzero(dataset_labels(sampler.sampler.dataset) == 0)
    drawn = [i for batch in epochs(sampler, range(3)) for i in batch if i == label]
    assert len(drawn) == 2 * 2 * 3
    assert len({index_generator(i, 0).random() for i in drawn}) == len(drawn)


# Weighted classes


def test_power_law_frequencies():
    sampler = sampler_of([30] * 5, 15, kind=PowerLawBatchSampler, power=1.0, class_seed=4)
    order = np.random.default_rng(4).permutation(5)
    expected = np.empty(5)
    expected[order] = 60 / np.array([1, 2, 3, 4, 5]) / 137
    np.testing.assert_allclose(sampler.class_probabilities(), expected)
    labels = dataset_labels(sampler.sampler.dataset)
    seen = np.array([np.bincount(labels[b], minlength=5) for b in epochs(sampler, range(40))])
    assert seen.shape == (400, 5) and (seen.sum(1) == 15).all()
    frequencies = seen.sum(0) / seen.sum()
    assert np.abs(frequencies - expected).max() < 5 * np.sqrt(0.25 / 6000)
    # Independent draws: the variance of a batch's counts is that of the multinomial.
    np.testing.assert_allclose(seen.var(0), 15 * expected * (1 - expected), rtol=0.3)


@pytest.mark.parametrize(('power', 'weights'), [(0, [1, 1, 1]), (0.5, [1, 2, 3]), (1, [4, 16, 36])])
def test_resampling_frequencies(power, weights):
    sampler = sampler_of([4, 16, 36], 8, kind=ResamplingBatchSampler, power=power)
    probabilities = np.array(weights) / sum(weights)
    np.testing.assert_allclose(sampler.class_probabilities(), probabilities)
    labels = dataset_labels(sampler.sampler.dataset)
    drawn = np.array(list(itertools.chain(*epochs(sampler, range(60)))))
    seen = np.bincount(labels[drawn]) / len(drawn)
    assert np.abs(seen - probabilities).max() < 5 * np.sqrt(0.25 / len(drawn))
    times = np.bincount(drawn, minlength=56)
    for c in range(3):
        assert np.ptp(times[labels == c]) <= 1


def test_weighted_ranks_are_disjoint(monkeypatch):
    kwargs = dict(kind=PowerLawBatchSampler, power=0.5)
    samplers = on_ranks(monkeypatch, 3, [40] * 6, 4, **kwargs)
    (whole,) = on_ranks(monkeypatch, 1, [40] * 6, 12, **kwargs)
    for expected, *batches in zip(
        epochs(whole, range(5)), *(epochs(s, range(5)) for s in samplers)
    ):
        together = list(itertools.chain(*batches))
        assert together == expected and len(set(together)) == 12


# Labels of all kinds of datasets


def test_labels():
    a, b = SomeLabels([2, 3]), SomeLabels([1, 1, 4], serialize_data=False)
    both = [*a.labels, *b.labels]
    assert dataset_labels(a).tolist() == a.labels
    assert dataset_labels(b).tolist() == b.labels
    assert dataset_labels(ConcatDataset([a, b])).tolist() == both
    assert dataset_labels(RepeatDataset(a, 3)).tolist() == a.labels * 3
    nested = dict(type=RepeatDataset, times=2, dataset=dict(type=ConcatDataset, datasets=[a, b]))
    assert dataset_labels(DATASETS.build(nested)).tolist() == both * 2
    balanced = ClassBalancedDataset(b, oversample_thr=0.9)
    expected = [balanced.get_cat_ids(i)[0] for i in range(len(balanced))]
    assert len(expected) > 6 and dataset_labels(balanced).tolist() == expected
    seeded = SeededClassBalancedDataset(b, oversample_thr=0.9)
    assert dataset_labels(seeded).tolist() == expected
    assert dataset_labels(SomeLabels([2, 3], indices=[4, 0])).tolist() == [a.labels[4], a.labels[0]]
    assert dataset_labels(SomeLabels([2, 3], lazy_init=True)).tolist() == a.labels
    subset = torch.utils.data.Subset(a, [3, 1])
    assert dataset_labels(subset).tolist() == [a.labels[3], a.labels[1]]
    tail = LongTailSubset(SomeLabels([9, 9, 9]), imbalance_factor=3)
    assert np.bincount(dataset_labels(tail)).tolist() == [9, 5, 3]


def test_a_balanced_dataset_keeps_what_the_sampler_knows():
    data = SomeLabels([12, 2])
    balanced = SeededClassBalancedDataset(data, oversample_thr=0.5)
    copies = balanced.repeat_indices.count(data.labels.index(1))
    assert copies > 1 and len(balanced) == 12 + 2 * copies
    origins = set()
    for index in itertools.chain(*sampler_of(balanced, 4, 2, seed=5)):
        info = balanced.get_data_info(index)
        assert type(info['sample_idx']) is ClassIndex
        assert (info['sample_idx'].seed, info['sample_idx'].epoch) == (5, 0)
        assert info['sample_idx'] == balanced.repeat_indices[index]
        assert info['gt_label'] == data.labels[info['sample_idx']]
        origins.add(info['sample_idx'].origin)
    assert len(origins) == len(balanced) // 4 * 4, 'each repetition has its own views'
    drawn = list(EpochSampler(balanced, seed=5))
    seen = [balanced.get_data_info(index)['sample_idx'] for index in drawn]
    assert [index.origin for index in seen] == drawn


def test_classes_without_images_do_not_count():
    sampler = sampler_of([0, 5, 0, 7], 4, 2)
    labels = dataset_labels(sampler.sampler.dataset)
    assert all(np.bincount(labels[b]).tolist() == [0, 2, 0, 2] for b in sampler)


@pytest.mark.parametrize(
    ('message', 'arguments', 'kwargs'),
    [
        ('num_classes_per_batch=5, but the dataset has images of 3 classes only', (6, 5), {}),
        (r'a global batch of 2 \(1 x 2\) has no room for num_classes_per_batch=3', (2, 3), {}),
        ('num_classes_per_batch must be an integer >= 1, got 0', (6, 0), {}),
        ('num_classes_per_batch must be an integer >= 1, got True', (6, True), {}),
        ('batch_size must be an integer >= 1, got 1.5', (1.5, 2), {}),
        (r"scope must be one of \('shared', 'disjoint'\), got 'own'", (6, 2, 'own'), {}),
        ("epoch must be one of .*, got 'steps'", (6, 2), dict(epoch='steps')),
        (r'12 images are fewer than one global batch of 13 \(1 x 13\): lower', (13, 2), {}),
        ('power must be a finite number >= 0, got -1', (4, -1), dict(kind=PowerLawBatchSampler)),
        ('class_seed must be an integer', (4, 1.0, 0.5), dict(kind=PowerLawBatchSampler)),
        (r'power must be a number in \[0, 1\], got 2', (4, 2), dict(kind=ResamplingBatchSampler)),
    ],
)
def test_errors(message, arguments, kwargs):
    with pytest.raises(UserError, match=message):
        sampler_of([4, 4, 4], *arguments, **kwargs)


def test_errors_of_ranks_and_data(monkeypatch):
    with pytest.raises(UserError, match="'disjoint' gives each of 2 ranks .* a multiple of 2"):
        on_ranks(monkeypatch, 2, [4, 4, 4], 3, 3, 'disjoint')
    for data in (SomeLabels([4], labelled=False), range(3)):
        with pytest.raises(UserError, match='has no labels: each sample needs one integer'):
            sampler_of(data, 2, 1)
    several = SomeLabels([4])
    several.get_data_info = lambda i: dict(gt_label=[0, 1])
    with pytest.raises(UserError, match='InfiniteSampler has no seed and epoch .*EpochSampler'):
        ClassImbalancedBatchSampler(InfiniteSampler(several, seed=0), 2, 1)
    negative = SomeLabels([4])
    negative.labels = [0, 1, -1, 0]
    negative._fully_initialized = False
    with pytest.raises(UserError, match='sample 2 has the label -1'):
        sampler_of(negative, 2, 1)


# As MMEngine's Runner builds them


def loader_of(dataset, batch_sampler, batch_size=6, seed=0, **kwargs):
    config = dict(
        dataset=dataset,
        sampler=dict(type='EpochSampler', shuffle=True),
        batch_sampler=batch_sampler,
        batch_size=batch_size,
        collate_fn=list,
        **kwargs,
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return Runner.build_dataloader(config, seed=seed)


TAIL = dict(
    type='LongTailSubset',
    imbalance_factor=10,
    dataset=dict(type='SomeLabels', sizes=[20] * 6),
)
CONCATENATED = dict(
    type='ConcatDataset',
    datasets=[
        dict(type='SomeLabels', sizes=[10, 1, 3, 5]),
        dict(type='RepeatDataset', times=2, dataset=dict(type='SomeLabels', sizes=[0, 1, 20, 2])),
    ],
)


@pytest.mark.parametrize('dataset', [TAIL, CONCATENATED], ids=['tail', 'concatenated'])
@pytest.mark.parametrize(
    'batch_sampler',
    [
        dict(type='ClassImbalancedBatchSampler', num_classes_per_batch=3),
        dict(type='ResamplingBatchSampler', power=0),
    ],
    ids=['imbalanced', 'balanced'],
)
def test_runner_builds_loaders_with_workers(dataset, batch_sampler):
    loader = loader_of(dataset, batch_sampler, num_workers=2, persistent_workers=True, seed=3)
    twin = loader_of(dataset, batch_sampler, num_workers=0, seed=3)
    seen = []
    for epoch in (0, 1, 5):
        # What MMEngine's DistSamplerSeedHook does; the loader's own `sampler` is not ours.
        assert not hasattr(loader.sampler, 'set_epoch')
        for each in (loader, twin):
            each.batch_sampler.sampler.set_epoch(epoch)
        batches = list(loader)
        assert len(batches) == len(loader) == len(dataset_labels(loader.dataset)) // 6
        for batch, reference in zip(batches, twin):
            assert len(batch) == 6
            if 'num_classes_per_batch' in batch_sampler:
                assert np.unique([s['gt_label'] for s in batch], return_counts=True)[
                    1
                ].tolist() == [2, 2, 2]
            indices = [s['sample_idx'] for s in batch]
            assert all(type(i) is ClassIndex and (i.seed, i.epoch) == (3, epoch) for i in indices)
            assert [(i, i.origin) for i in indices] == [
                (s['sample_idx'], s['sample_idx'].origin) for s in reference
            ]
        seen.append([int(s['sample_idx']) for batch in batches for s in batch])
    assert seen[0] != seen[1] != seen[2]


@pytest.mark.parametrize('workers', [0, 2])
def test_stand_ins_are_of_the_same_class(tmp_path, workers):
    root = make_inaturalist2018(tmp_path, counts={0: 6, 5: 6, 7: 1})
    data = INaturalist2018(str(root))
    broken = {1, 8, 12}
    for i in broken:
        with open(data.get_data_info(i)['img_path'], 'wb') as file:
            file.write(b'Not found\n')
    inner = dict(type='INaturalist2018', data_root=str(root), pipeline=[LoadImage(), PackInputs()])
    loader = loader_of(
        dict(type='ConcatDataset', datasets=[dict(type='SomeLabels', sizes=[0]), inner][1:]),
        dict(type='ClassImbalancedBatchSampler', num_classes_per_batch=3),
        num_workers=workers,
    )
    labels, replaced = dataset_labels(data), set()
    for epoch in range(3):
        loader.batch_sampler.sampler.set_epoch(epoch)
        for indices, batch in zip(loader.batch_sampler, loader):
            for index, sample in zip(indices, (s['data_samples'] for s in batch)):
                if index in broken:
                    assert 'undecodable' in sample and sample.sample_idx not in broken
                    replaced.add(int(index))
                    # The class of a single image has no other: any image does.
                    assert index == 12 or sample.gt_label.item() == labels[index]
                else:
                    assert sample.sample_idx == index
    assert replaced == broken
    # Other samplers' indices ask for any image, as before.
    drawn = {int(data.replacement(EpochIndex(1, 0, e), 0, {1})) for e in range(60)}
    assert len(set(labels[list(drawn)])) > 1
    drawn = {int(data.replacement(ClassIndex(1, 0, e), 0, {1})) for e in range(60)}
    assert drawn == {0, 2, 3, 4, 5}


def test_stand_ins_stay_within_the_subset(tmp_path):
    root = make_inaturalist2018(tmp_path, counts={0: 8, 5: 8})
    inner = INaturalist2018(str(root), pipeline=[LoadImage(), PackInputs()])
    tail = LongTailSubset(inner, imbalance_factor=2, seed=1)
    with open(tail.get_data_info(0)['img_path'], 'wb'):
        pass
    own = {tail.get_data_info(i)['img_path'] for i in range(len(tail))}
    for epoch in range(20):
        sample = tail[ClassIndex(0, 0, epoch)]['data_samples']
        assert sample.img_path in own and sample.gt_label.item() == 0
        assert tail[EpochIndex(0, 0, epoch)]['data_samples'].img_path in own


def _two_ranks(rank):
    output = []
    for scope, k in (('shared', 3), ('disjoint', 4)):
        loader = loader_of(
            TAIL,
            dict(type='ClassImbalancedBatchSampler', num_classes_per_batch=k, scope=scope),
            num_workers=1,
            batch_size=5,
        )
        loader.batch_sampler.sampler.set_epoch(2)
        output.append([[(s['sample_idx'], s['gt_label']) for s in batch] for batch in loader])
    return output


@pytest.mark.slow
def test_two_processes():
    ranks = run_ranks(2, _two_ranks)
    for number, k in enumerate((3, 4)):
        assert len(ranks[0][number]) == len(ranks[1][number]) > 2
        for one, two in zip(ranks[0][number], ranks[1][number]):
            labels = [label for _, label in one + two]
            counts = np.unique(labels, return_counts=True)[1]
            assert len(counts) == k and np.ptp(counts) <= 1 and counts.sum() == 10
            if k == 4:
                assert not {label for _, label in one} & {label for _, label in two}

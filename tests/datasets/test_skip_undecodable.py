import pytest
from mmengine.dataset import ConcatDataset
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.datasets import PackInputs

from mmssl_prior.datasets import EpochIndex, INaturalist2018, LoadImage
from mmssl_prior.errors import UserError
from tests.miniatures import make_inaturalist2018

PIPELINE = [
    dict(type='LoadImage'),
    dict(
        type='SeededMultiView',
        num_views=[2],
        transforms=[[dict(type='SeededRandomResizedCrop', scale=16)]],
    ),
    dict(type='PackInputs'),
]


def files(root):
    return sorted((root / 'train_val2018').rglob('*.jpg'))


def spoil(root):
    """Truncate, empty and replace by text; return the files by index."""
    data = INaturalist2018(str(root))
    paths = [data.get_data_info(i)['img_path'] for i in (1, 4, 6)]
    content = open(paths[0], 'rb').read()
    for path, text in zip(paths, (content[: len(content) // 2], b'', b'Not found\n')):
        with open(path, 'wb') as file:
            file.write(text)
    return dict(zip((1, 4, 6), paths))


@pytest.fixture
def root(tmp_path):
    return make_inaturalist2018(tmp_path, counts={0: 6, 5: 6})


@pytest.fixture
def spoiled(root):
    return spoil(root)


def build(root, **kwargs):
    config = dict(
        dataset=dict(type='INaturalist2018', data_root=str(root), pipeline=PIPELINE),
        sampler=dict(type='EpochSampler', shuffle=False),
        batch_size=3,
        num_workers=0,
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return Runner.build_dataloader({**config, **kwargs}, seed=3)


def epoch_samples(loader, epoch):
    loader.sampler.set_epoch(epoch)
    output = []
    for batch in loader:
        for k, sample in enumerate(batch['data_samples']):
            output.append((sample, [view[k] for view in batch['inputs']]))
    return output


@pytest.mark.parametrize(
    'workers',
    [dict(num_workers=0), dict(num_workers=2), dict(num_workers=2, persistent_workers=True)],
    ids=['none', 'two', 'persistent'],
)
def test_replaced_and_noted_alike_by_any_workers(root, spoiled, workers):
    loader, reference = build(root, **workers), build(root)
    replacements = set()
    for epoch in range(3):
        samples = epoch_samples(loader, epoch)
        assert len(samples) == 12
        noted = set()
        for i, (sample, _) in enumerate(samples):
            if i in spoiled:
                (path, reason), *others = sample.undecodable
                assert path == spoiled[i] and reason
                assert {p for p, _ in others} <= set(spoiled.values())
                noted |= {path} | {p for p, _ in others}
                assert sample.sample_idx not in spoiled and sample.sample_idx.origin == i
                replacements.add((i, int(sample.sample_idx)))
            else:
                assert sample.sample_idx == i and 'undecodable' not in sample
        assert noted == set(spoiled.values())
        for (one, ours), (two, theirs) in zip(samples, epoch_samples(reference, epoch)):
            assert one.sample_idx == two.sample_idx and one.get('undecodable') == two.get(
                'undecodable'
            )
            assert all((a == b).all() for a, b in zip(ours, theirs))
    assert len(replacements) > 3  # not the same ones in every epoch


def test_replacements_are_uniform_and_avoid_known_failures(root, spoiled):
    data = INaturalist2018(str(root))
    drawn = [data.replacement(EpochIndex(1, 0, epoch), 0, {1, 4, 6}) for epoch in range(900)]
    assert set(drawn) == set(range(12)) - {1, 4, 6}
    assert all(70 < drawn.count(i) < 130 for i in set(drawn))
    assert {(i.seed, i.epoch, i.origin) for i in drawn[:2]} == {(0, 0, 1), (0, 1, 1)}
    first, second = (data.replacement(EpochIndex(1, 0, 0), k, {1}) for k in (0, 1))
    assert [data.replacement(EpochIndex(1, 0, 0), k, {1}) for k in (0, 1)] == [first, second]
    assert len({int(data.replacement(EpochIndex(1), k, {1})) for k in range(20)}) > 5


def test_within_a_concatenation(root, spoiled, tmp_path_factory):
    other = make_inaturalist2018(tmp_path_factory.mktemp('other'), counts={0: 4, 5: 0})
    pipeline = [LoadImage(), PackInputs()]
    data = ConcatDataset(
        [
            INaturalist2018(str(other), pipeline=pipeline),
            INaturalist2018(str(root), pipeline=pipeline),
        ]
    )
    sample = data[EpochIndex(4 + 1, 3, 1)]['data_samples']
    assert sample.undecodable[0][0] == spoiled[1] and sample.img_path.startswith(str(root))


def test_by_hand(root, spoiled):
    data = INaturalist2018(str(root), pipeline=[LoadImage(), PackInputs()])
    assert data[1]['data_samples'].undecodable[0][0] == spoiled[1]
    assert data[1 - 12]['data_samples'].sample_idx == data[1]['data_samples'].sample_idx
    assert data[-1]['data_samples'].sample_idx == 11
    bare = INaturalist2018(str(root), pipeline=[LoadImage()])
    assert bare[4]['undecodable'][0][0] == spoiled[4] and 'undecodable' not in bare[0]


def test_an_evaluation_swaps_no_image(root, spoiled):
    data = INaturalist2018(str(root), pipeline=[LoadImage(), PackInputs()], test_mode=True)
    assert data[0]['data_samples'].sample_idx == 0
    with pytest.raises(
        UserError,
        match=f'cannot decode image {spoiled[4]}: the file is empty; an evaluation skips no image',
    ):
        data[4]


def test_an_evaluation_in_workers_names_the_file(root, spoiled):
    loader = build(
        root,
        num_workers=1,
        dataset=dict(
            type='INaturalist2018', data_root=str(root), pipeline=PIPELINE, test_mode=True
        ),
    )
    with pytest.raises(UserError, match=f'UserError: cannot decode image {spoiled[1]}'):
        list(loader)


@pytest.mark.parametrize('counts', [{0: 14}, {0: 3}])
def test_nothing_decodable(tmp_path, counts):
    root = make_inaturalist2018(tmp_path, counts=counts)
    for path in files(root):
        path.write_bytes(b'')
    data = INaturalist2018(str(root), pipeline=[LoadImage(), PackInputs()])
    number = min(10, counts[0])
    with pytest.raises(
        UserError,
        match=f'^{number} images drawn in a row cannot be decoded; '
        'restore them or check data_root: /',
    ) as error:
        data[0]
    assert str(error.value).count('.jpg') == 3 and '\n' not in str(error.value)
    assert str(error.value).endswith(' and 7 more') == (number == 10)

from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from mmssl_prior.errors import UserError

CROP = dict(type='SeededRandomResizedCrop', scale=8)
VIEWS = [dict(type='SeededMultiView', transforms=[[CROP]], num_views=2), dict(type='PackInputs')]


def digits(pipeline=VIEWS):
    return dict(type='DigitsLT', split='test', images_per_class=2, image_size=8, pipeline=pipeline)


def check(dataset, sampler='EpochSampler', **kwargs):
    config = dict(dataset=dataset, sampler=dict(type=sampler), batch_size=4, **kwargs)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        loader = Runner.build_dataloader(config, seed=0)
        hook = HOOKS.build(dict(type='SeededViewsHook'))
    hook.before_train(SimpleNamespace(train_loop=SimpleNamespace(dataloader=loader)))


def wrapped(wrapper, dataset, **kwargs):
    return dict(type=wrapper, dataset=dataset, **kwargs)


@pytest.mark.parametrize(
    'dataset',
    [
        digits(),
        wrapped(RepeatDataset, digits(), times=2),
        dict(type=ConcatDataset, datasets=[digits(), wrapped(RepeatDataset, digits(), times=2)]),
        digits([CROP, dict(type='PackInputs')]),
        wrapped('SeededClassBalancedDataset', digits(), oversample_thr=0.2),
    ],
    ids=['plain', 'repeated', 'concatenated', 'single view', 'class-balanced'],
)
def test_epoch_arrives(dataset):
    check(dataset)
    check(dataset, num_batch_per_epoch=2)


@pytest.mark.parametrize(
    'pipeline', [VIEWS, [CROP], [dict(type='RandomApply', transforms=[CROP], prob=0.5)]]
)
@pytest.mark.parametrize('sampler', ['DefaultSampler', 'InfiniteSampler'])
def test_sampler_without_epoch(pipeline, sampler):
    with pytest.raises(UserError, match=r"sampler does not pass on the epoch.*type='EpochSampler'"):
        check(digits(pipeline), sampler)
    with pytest.raises(UserError, match="type='EpochSampler'"):
        check(wrapped(RepeatDataset, digits(pipeline), times=2), sampler)


def test_nothing_to_check_without_seeded_transforms():
    check(digits([dict(type='RandomFlip', prob=0.5)]), 'DefaultSampler')
    check(wrapped(ClassBalancedDataset, digits([]), oversample_thr=0.2), 'DefaultSampler')


def test_wrappers_that_drop_the_epoch():
    balanced = wrapped(ClassBalancedDataset, digits(), oversample_thr=0.2)
    with pytest.raises(UserError, match="drops the epoch.*use type='SeededClassBalancedDataset'"):
        check(balanced)
    with pytest.raises(UserError, match='wrapper ClassBalancedDataset drops the epoch'):
        check(dict(type=ConcatDataset, datasets=[digits(), balanced, digits()]))


def test_wrappers_of_torch():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        data = Runner.build_dataloader(
            dict(dataset=digits(), sampler=dict(type='EpochSampler'), batch_size=2)
        ).dataset
    with pytest.raises(UserError, match='wrapper Subset drops the epoch'):
        check(torch.utils.data.Subset(data, [0, 1, 2]))
    check(torch.utils.data.ConcatDataset([data, data]))


def test_seeded_transforms_in_the_stock_multi_view():
    pipeline = [dict(type='MultiView', transforms=[[CROP]], num_views=2)]
    with pytest.raises(UserError, match="MultiView .* alike; use type='SeededMultiView'"):
        check(digits(pipeline))


def test_batch_samplers():
    check(digits(), batch_sampler=dict(type=torch.utils.data.BatchSampler, drop_last=True))
    with pytest.raises(UserError, match="type='EpochSampler'"):
        check(
            digits(),
            'DefaultSampler',
            batch_sampler=dict(type=torch.utils.data.BatchSampler, drop_last=True),
        )


class Tiny(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return dict(loss=self.weight.square())


class Witness(Hook):
    """Writes down what the model is given."""

    def __init__(self):
        self.seen = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        views = [view.numpy().tobytes() for images in data_batch['inputs'] for view in images]
        order = [int(sample.sample_idx) for sample in data_batch['data_samples']]
        self.seen[runner.iter] = (order, views)


def train(work_dir, epochs, seed=None, sampler=None, **kwargs):
    witness = Witness()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        runner = Runner(
            Tiny(),
            str(work_dir),
            train_dataloader=dict(
                dataset=digits(), sampler=sampler or dict(type='EpochSampler'), batch_size=10
            ),
            train_cfg=dict(by_epoch=True, max_epochs=epochs),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.0)),
            custom_hooks=[dict(type='SeededViewsHook'), witness],
            randomness=dict(seed=seed),
            default_scope='mmpretrain',
            log_level='ERROR',
            experiment_name=f'{work_dir.name}_{epochs}_{seed}',
            **kwargs,
        )
        runner.train()
    return runner, witness.seen


def test_resume_goes_on_with_the_seed_of_the_checkpoint(tmp_path):
    first, _ = train(tmp_path / 'part', 1)
    resumed, seen = train(
        tmp_path / 'part', 2, resume=True, load_from=str(tmp_path / 'part' / 'epoch_1.pth')
    )
    whole, expected = train(tmp_path / 'whole', 2, seed=first.seed)
    assert resumed.train_dataloader.sampler.seed == first.seed
    assert sorted(seen) == [2, 3] and sorted(expected) == [0, 1, 2, 3]
    assert all(seen[k] == expected[k] for k in seen)
    assert expected[0] != expected[2]


def test_a_sampler_keeps_a_seed_of_its_own(tmp_path):
    train(tmp_path, 1, seed=1)
    runner, _ = train(
        tmp_path,
        2,
        seed=2,
        sampler=dict(type='EpochSampler', seed=9),
        resume=True,
        load_from=str(tmp_path / 'epoch_1.pth'),
    )
    assert runner.seed == 1 and runner.train_dataloader.sampler.seed == 9

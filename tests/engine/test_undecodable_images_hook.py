import logging
from types import SimpleNamespace

import pytest
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS
from mmpretrain.structures import DataSample
from torch import nn

from mmssl_prior.datasets import INaturalist2018
from mmssl_prior.engine.hooks import UndecodableImagesHook
from mmssl_prior.errors import UserError
from tests.gloo import run_ranks
from tests.miniatures import make_inaturalist2018


class Recorder(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def fake_runner(iteration=0):
    logger = logging.Logger('test')
    recorder = Recorder()
    logger.addHandler(recorder)
    return SimpleNamespace(logger=logger, iter=iteration), recorder.lines


def batch(*names):
    samples = [
        DataSample(),
        DataSample(metainfo=dict(undecodable=tuple((name, 'truncated') for name in names))),
    ]
    return dict(inputs=[], data_samples=samples)


def test_one_warning_for_each_file():
    hook, (runner, lines) = HOOKS.build(dict(type='UndecodableImagesHook')), fake_runner()
    hook.before_train_iter(runner, 0, batch('a.jpg', 'b.jpg'))
    hook.before_train_iter(runner, 1, batch('b.jpg'))
    hook.before_train_iter(runner, 2, dict(inputs=[], data_samples=[DataSample()]))
    hook.before_train_iter(runner, 3, None)
    assert lines == [
        f'cannot decode image {name}: truncated; another one is taken in its place'
        for name in ('a.jpg', 'b.jpg')
    ]
    hook.after_train(runner)
    assert lines[2:] == ['2 undecodable images were replaced by others during this training']


def test_silent_where_all_is_well():
    hook, (runner, lines) = UndecodableImagesHook(limit=0), fake_runner()
    hook.before_train_iter(runner, 0, dict(inputs=[], data_samples=[DataSample()]))
    hook.after_train(runner)
    assert not lines


def test_error_above_the_limit():
    hook, (runner, _) = UndecodableImagesHook(limit=11), fake_runner()
    names = [f'{i:02d}.jpg' for i in range(12)]
    for name in names[:11] * 2:
        hook.before_train_iter(runner, 0, batch(name))
    with pytest.raises(
        UserError,
        match='^12 images cannot be decoded, the limit is 11; .*'
        r'default_hooks.undecodable_images.limit.* The first 10: 00.jpg, .*09.jpg$',
    ):
        hook.before_train_iter(runner, 0, batch(names[11]))


def test_limit_zero_puts_up_with_none():
    with pytest.raises(UserError, match='^1 images? cannot be decoded'):
        UndecodableImagesHook(limit=0).before_train_iter(fake_runner()[0], 0, batch('a.jpg'))


@pytest.mark.parametrize('kwargs', [dict(limit=-1), dict(limit=None), dict(interval=0)])
def test_bad_arguments(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        UndecodableImagesHook(**kwargs)


def count_on(rank):
    hook, (runner, lines) = UndecodableImagesHook(limit=3, interval=2), fake_runner()
    hook.before_train_iter(runner, 0, batch('both.jpg', f'{rank}.jpg'))
    alone = sorted(hook.files)
    runner.iter = 1
    hook.before_train_iter(runner, 1, batch())
    together = sorted(hook.files)
    runner.iter = 3
    try:
        hook.before_train_iter(runner, 3, batch('last.jpg') if rank == 0 else batch())
    except UserError as error:
        return alone, together, len(lines), str(error)


def test_ranks_put_their_counts_together():
    for rank, (alone, together, warnings, error) in enumerate(run_ranks(2, count_on)):
        assert alone == sorted(['both.jpg', f'{rank}.jpg'])
        assert together == ['0.jpg', '1.jpg', 'both.jpg']
        assert warnings == 4
        assert error.startswith('4 images cannot be decoded, the limit is 3')


class Mean(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = nn.Linear(1, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        values = sum(view.float().mean() / 255 for views in inputs for view in views)
        return dict(loss=self.weight(values.view(1, 1)).square().mean())


def train(root, work_dir, limit, num_workers):
    pipeline = [
        dict(type='LoadImage'),
        dict(
            type='SeededMultiView',
            num_views=[2],
            transforms=[[dict(type='SeededRandomResizedCrop', scale=8)]],
        ),
        dict(type='PackInputs'),
    ]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        runner = Runner(
            Mean(),
            str(work_dir),
            train_dataloader=dict(
                dataset=dict(type='INaturalist2018', data_root=str(root), pipeline=pipeline),
                sampler=dict(type='EpochSampler'),
                batch_size=2,
                num_workers=num_workers,
                persistent_workers=num_workers > 0,
            ),
            train_cfg=dict(by_epoch=True, max_epochs=2),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-3)),
            custom_hooks=[
                dict(type='UndecodableImagesHook', limit=limit),
                dict(type='SeededViewsHook'),
            ],
            randomness=dict(seed=0),
            default_scope='mmpretrain',
            log_level='WARNING',
            experiment_name=f'{work_dir.name}',
        )
        runner.train()
    return runner


@pytest.mark.parametrize('num_workers', [0, 2])
def test_training_end_to_end(tmp_path, num_workers):
    root = make_inaturalist2018(tmp_path / 'data', counts={1: 4, 2: 4})
    data = INaturalist2018(str(root))
    paths = [data.get_data_info(i)['img_path'] for i in (2, 5)]
    for path in paths:
        with open(path, 'r+b') as file:
            file.truncate(200)
    runner = train(root, tmp_path / f'patient{num_workers}', 2, num_workers)
    (hook,) = (h for h in runner.hooks if isinstance(h, UndecodableImagesHook))
    assert runner.epoch == 2 and sorted(hook.files) == sorted(paths)
    with pytest.raises(
        UserError, match='^2 images cannot be decoded, the limit is 1|^2 images.*limit is 1'
    ):
        train(root, tmp_path / f'strict{num_workers}', 1, num_workers)

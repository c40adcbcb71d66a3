"""Frozen prototypes and the start of the queue, through the Runner."""

import copy

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.nn import functional as F

from mmssl_prior.engine import SwAVScheduleHook
from mmssl_prior.errors import UserError
from tests.models.test_joint_embedding import SIMCLR, SWAV


class Views(torch.utils.data.Dataset):
    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.views = torch.randn(2, 12, 3, 8, 8, generator=generator)

    def __len__(self):
        return 12

    def __getitem__(self, i):
        return dict(inputs=[view[i] for view in self.views])


class Record(Hook):
    priority = 'LOWEST'

    def __init__(self):
        self.prototypes, self.filled = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.prototypes.append(F.normalize(runner.model.head.prototypes.detach(), dim=1))
        self.filled.append(int(runner.model.queue_filled))


def train(work_dir, model=None, hook=None, epochs=2, resume=False):
    record = Record()
    runner = Runner(
        model=dict(
            model or dict(copy.deepcopy(SWAV), queue_length=5),
            data_preprocessor=dict(type='BaseDataPreprocessor'),
        ),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=4,
            num_workers=0,
            dataset=Views(),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(
            optimizer=dict(type='LayerwiseSGD', lr=0.5, eta=0.1, weight_decay=0.1, exclude_1d=())
        ),
        custom_hooks=[hook or dict(type='SwAVScheduleHook', frozen_iters=4, queue_start_epoch=1)]
        + [record],
        randomness=dict(seed=0),
        default_scope='mmpretrain',
        log_level='ERROR',
        resume=resume,
        experiment_name=work_dir.name,
    )
    runner.train()
    return record, runner


def test_prototypes_stay_and_then_move_and_the_queue_starts_at_its_epoch(tmp_path):
    record, runner = train(tmp_path / 'run')
    start, last = record.prototypes[0], record.prototypes[3]
    torch.testing.assert_close(last, start, rtol=0, atol=1e-6)
    assert float((record.prototypes[4] - last).abs().max()) > 1e-3
    assert record.filled == [0, 0, 0, 4, 5, 5]

    (tmp_path / 'resumed').mkdir()
    train(tmp_path / 'resumed', epochs=1)
    record, again = train(tmp_path / 'resumed', resume=True)
    assert record.filled == [4, 5, 5]
    for name, value in runner.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], value, msg=name)


def test_errors(tmp_path):
    for kwargs in (dict(frozen_iters=-1), dict(queue_start_epoch=-1)):
        with pytest.raises(ValueError, match=next(iter(kwargs))):
            SwAVScheduleHook(**kwargs)
    with pytest.raises(UserError, match='GlobalSimCLR has no queue'):
        train(tmp_path / 'run', copy.deepcopy(SIMCLR))

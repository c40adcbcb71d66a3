"""As many epochs as the data ask for, and every schedule with them."""

import logging
import math
from types import SimpleNamespace

import pytest
import torch
from mmengine import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmpretrain.registry import PARAM_SCHEDULERS

from mmssl_prior.config import warn_of_schedules
from mmssl_prior.engine.loops import StepBudgetTrainLoop, epochs_for_steps
from mmssl_prior.engine.schedulers import WarmupCosineParamScheduler
from mmssl_prior.errors import UserError
from tests.engine.toy_folder import Numbers, runner_config
from tests.smoke import ROOT

TARGET = dict(type='TargetNetworkHook')
CONFIG = 'configs/pmsn/pmsn_vit-s16_folder.py'


def build(length, batch_size=64, drop_last=True, **kwargs):
    runner = SimpleNamespace(visualizer=SimpleNamespace(), logger=logging.getLogger('loop'))
    loader = torch.utils.data.DataLoader(Numbers(length), batch_size, drop_last=drop_last)
    return StepBudgetTrainLoop(runner, loader, **kwargs)


@pytest.mark.parametrize(
    ('images', 'steps_per_epoch', 'epochs'),
    [
        (64, 1, 800),  # 100,000 epochs would be too many
        (1_000, 15, 800),
        (8_000, 125, 800),  # exactly
        (8_064, 126, 794),  # 793.65
        (100_000, 1562, 65),  # 64.02
        (213_312, 3333, 31),  # 30.003
        (1_281_167, 20018, 30),  # 4.995 would be too few
    ],
)
def test_epochs_of_the_folder_config(images, steps_per_epoch, epochs, caplog):
    cfg = Config.fromfile(ROOT / CONFIG)
    assert cfg.train_dataloader.batch_size == 64
    arguments = {k: v for k, v in cfg.train_cfg.items() if k != 'type'}
    with caplog.at_level(logging.INFO):
        loop = build(images, **arguments)
    assert (loop.max_epochs, loop.max_iters) == (epochs, epochs * steps_per_epoch)
    assert f'{epochs} epochs of {steps_per_epoch} steps' in caplog.text
    assert build(images, **{**arguments, 'max_epochs': 50}).max_epochs == 50


def test_rule():
    assert epochs_for_steps(100, 100, 1, 9) == 1 and epochs_for_steps(101, 100, 1, 9) == 2


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(steps=0), 'steps must be a positive integer, got 0'),
        (dict(epochs=(9, 3)), r'epochs must be \(least, largest\)'),
        (dict(epochs=(0, 3)), r'epochs must be \(least, largest\)'),
        (dict(epochs=7), 'epochs must be two integers, got 7'),
        (dict(max_epochs=0), 'max_epochs must be a positive integer or None, got 0'),
        (dict(max_epochs=2.5), 'max_epochs must be a positive integer'),
        (dict(length=1), '1 image in the data: neither batch statistics nor a prior'),
        (
            dict(length=63),
            r'63 images make no batch of 64 on each of 1 ranks \(global batch 64, drop_last\): '
            'lower train_dataloader.batch_size to at most 63',
        ),
        (dict(batch_size=1), 'a batch of one image has no batch statistics'),
    ],
)
def test_bad_arguments_and_data(kwargs, message):
    with pytest.raises(UserError, match=message):
        build(**{'length': 640, **kwargs})


def test_more_ranks_than_images(monkeypatch):
    monkeypatch.setattr(
        'mmssl_prior.engine.loops.step_budget_train_loop.dist.get_world_size', lambda: 4
    )
    with pytest.raises(UserError, match='3 images for 4 ranks: start at most 3 ranks'):
        build(3, 2)
    with pytest.raises(UserError, match=r'5 images .* on each of 4 ranks \(global batch 24'):
        build(5, 6)


class Values(Hook):
    """Learning rate and weight decay of each step."""

    def __init__(self):
        self.values = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        group = runner.optim_wrapper.optimizer.param_groups[0]
        self.values.append((group['lr'], group['weight_decay']))


@pytest.mark.parametrize('max_epochs', [None, 20, 2])
def test_every_schedule_follows(tmp_path, max_epochs):
    """Start, end of warm-up, middle and end, against closed forms; 5 steps an epoch."""
    cfg = Config.fromfile(ROOT / CONFIG)
    values = Values()
    arguments = runner_config(
        tmp_path,
        length=10,
        param_scheduler=cfg.param_scheduler,
        train_cfg=dict(
            type='StepBudgetTrainLoop', steps=199, epochs=(2, 800), max_epochs=max_epochs
        ),
        custom_hooks=[values, *cfg.custom_hooks],
    )
    runner = Runner(**arguments)
    runner.train()
    length = {None: 200, 20: 100, 2: 10}[max_epochs]
    assert runner.max_iters == len(values.values) == len(runner.model.momenta) == length
    warmup, period = min(15 * 5, length / 10), 1.25 * length
    for t, (lr, decay) in enumerate(values.values):
        if t < warmup:
            expected = 1e-2 * (0.2 + 0.8 * t / warmup)
        else:
            x = (t - warmup) / (period - warmup)
            expected = 1e-6 + (1e-2 - 1e-6) * (1 + math.cos(math.pi * x)) / 2
        assert lr == pytest.approx(expected, rel=1e-9), t
        assert decay == pytest.approx(
            0.4 - 0.36 * (1 + math.cos(math.pi * t / period)) / 2, rel=1e-9
        )
        assert runner.model.momenta[t] == pytest.approx(0.996 + 0.004 * t / period, rel=1e-9)
    assert values.values[0] == pytest.approx((2e-3, 0.04))
    assert values.values[int(warmup)][0] == pytest.approx(1e-2)


def test_schedules_and_loop_agree(monkeypatch):
    monkeypatch.setattr(
        'mmssl_prior.config.schedules.print_log', lambda *args, **kwargs: pytest.fail(args[0])
    )
    for max_epochs in (None, 50):
        cfg = Config.fromfile(ROOT / CONFIG)
        cfg.train_cfg.max_epochs = max_epochs
        warn_of_schedules(cfg)


class Stop(Hook):
    def after_train_epoch(self, runner):
        runner.train_loop.stop_training = True


def released(t, length, warmup):
    """Learning rate and weight decay at step t of a training of a length."""
    lr = 1e-2 * (0.2 + 0.8 * t / warmup)
    if t >= warmup:
        x = (t - warmup) / (1.25 * length - warmup)
        lr = 1e-6 + (1e-2 - 1e-6) * (1 + math.cos(math.pi * x)) / 2
    return lr, 0.4 - 0.36 * (1 + math.cos(math.pi * t / (1.25 * length))) / 2


@pytest.mark.parametrize(
    ('images', 'max_epochs', 'finished', 'length'),
    [
        (16, None, False, 4 + 2 * 8),  # the folder grew: two epochs of 8 remain of the planned 3
        (4, None, False, 4 + 2 * 2),  # it shrank
        (8, 7, False, 28),
        (8, 2, True, 8),  # a training of one epoch that was over
        (16, 2, True, 4 + 8),
    ],
)
def test_schedules_of_a_resumed_training_end_where_it_does(
    tmp_path, images, max_epochs, finished, length
):
    """From the step where they were, by closed forms over the new length; the first has 4."""
    param_scheduler = Config.fromfile(ROOT / CONFIG).param_scheduler
    arguments = runner_config(
        tmp_path, length=8, param_scheduler=param_scheduler, custom_hooks=[TARGET, Stop()]
    )
    arguments['train_cfg'] = dict(arguments['train_cfg'], max_epochs=1 if finished else None)
    Runner(**arguments).train()
    seen = Values()
    again = runner_config(
        tmp_path,
        length=images,
        resume=True,
        param_scheduler=param_scheduler,
        custom_hooks=[TARGET, seen],
    )
    again['train_cfg'] = dict(again['train_cfg'], max_epochs=max_epochs)
    runner = Runner(**again)
    runner.train()
    assert runner.iter == runner.max_iters == length and len(seen.values) == length - 4
    for t, values in enumerate(seen.values, 4):
        assert values == pytest.approx(released(t, length, length / 10), rel=1e-9), t
        assert runner.model.momenta[t - 4] == pytest.approx(0.996 + 0.004 * t / (1.25 * length))


@pytest.mark.parametrize('max_epochs', [None, 7])
def test_resume_keeps_the_number_of_epochs(tmp_path, max_epochs):
    """Twelve steps: 3 epochs of 4. Twice the images would be 2 of 8."""
    arguments = runner_config(tmp_path, length=8, custom_hooks=[TARGET, Stop()])
    first = Runner(**arguments)
    first.train()
    assert (first.epoch, first.max_epochs) == (1, 3)
    again = runner_config(tmp_path, length=16, resume=True, custom_hooks=[TARGET])
    again['train_cfg'] = dict(again['train_cfg'], max_epochs=max_epochs)
    second = Runner(**again)
    assert second.train_loop.max_epochs == (max_epochs or 2)
    second.train()
    assert second.epoch == second.max_epochs == (max_epochs or 3)
    assert second.iter == second.max_iters == 4 + 8 * ((max_epochs or 3) - 1)


def scheduler(values=(1.0, 0.0), **kwargs):
    groups = [dict(params=[torch.zeros(1)], lr=value) for value in values]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    arguments = dict(type='WarmupCosineParamScheduler', optimizer=optimizer, param_name='lr')
    return optimizer, PARAM_SCHEDULERS.build({**arguments, 'eta_min': 0.1, **kwargs})


def test_the_final_value_as_a_share_of_each_first_one():
    optimizer, schedule = scheduler((1.0, 4.0), eta_min=None, eta_min_ratio=0.1, stretch=1, end=2)
    for expected in ([1.0, 4.0], [0.55, 2.2]):
        assert [group['lr'] for group in optimizer.param_groups] == pytest.approx(expected)
        optimizer.step()
        schedule.step()


def test_a_zero_stays_zero_and_the_value_stays_where_the_schedule_ends():
    optimizer, schedule = scheduler(warmup=2, max_warmup_share=0.5, stretch=1.0, end=4)
    seen = []
    for _ in range(6):
        seen.append(optimizer.param_groups[0]['lr'])
        assert optimizer.param_groups[1]['lr'] == 0
        optimizer.step()
        schedule.step()
    assert seen == pytest.approx([0.2, 0.6, 1.0, 0.55, 0.55, 0.55])


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(warmup=-1), 'warmup must be at least 0'),
        (dict(max_warmup_share=1.0), r'max_warmup_share must be in \[0, 1\)'),
        (dict(start_factor=-0.1), r'start_factor must be in \[0, 1\)'),
        (dict(stretch=0.5), 'stretch must be at least 1'),
        (dict(eta_min_ratio=0.1), 'takes eta_min or eta_min_ratio, got 0.1 and 0.1'),
        (dict(eta_min=None), 'takes eta_min or eta_min_ratio, got None and None'),
    ],
)
def test_bad_arguments_of_the_schedule(kwargs, message):
    with pytest.raises(UserError, match=message):
        scheduler(end=10, **kwargs)


def test_state_survives_a_resume_and_the_length_is_the_new_one():
    optimizer, schedule = scheduler(end=10, warmup=3)
    for _ in range(4):
        optimizer.step()
        schedule.step()
    _, other = scheduler(end=99, warmup=3)
    other.load_state_dict(schedule.state_dict())
    assert isinstance(other, WarmupCosineParamScheduler)
    assert (other.last_step, other.base_values) == (4, [1.0, 0.0])
    assert (other.end, other.period, other.warmup) == (99, 123.75, 3)


def test_an_end_of_its_own_is_left_alone_and_a_schedule_by_epochs_follows(tmp_path):
    loop = build(640, max_epochs=3)
    _, own = scheduler(end=10, by_epoch=False)
    _, epochs = scheduler(end=3)
    loop.runner.param_schedulers = dict(first=[own], second=[epochs])
    loop._epoch, loop._iter = 1, 5
    loop.runner.model = torch.nn.Linear(1, 1)
    loop.runner.optim_wrapper = OptimWrapper(torch.optim.SGD(loop.runner.model.parameters(), 0.1))
    loop._resume_with(6)
    assert (own.end, epochs.end, epochs.period) == (10, 6, 7.5)
    assert loop.max_iters == 5 + 5 * 10

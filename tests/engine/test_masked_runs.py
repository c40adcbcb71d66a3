"""Masked models through the Runner: moving average, resume to the bit, ranks, batch samplers."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from tests.gloo import run_ranks
from tests.smoke import smoke_config

METHODS = ['mae', 'data2vec']


def config(method, work_dir, epochs=2, world_size=1, **kwargs):
    """Two iterations of four images each epoch, with everything that is random switched on."""
    cfg = smoke_config(f'configs/{method}/{method}_vit-mini_patterns-lt.py', work_dir, {})
    cfg.train_dataloader.batch_size = 4 // world_size
    cfg.train_dataloader.dataset.indices = 8
    cfg.train_cfg.max_epochs = epochs
    cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=-1)
    for name in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg[name] = None
    if method == 'data2vec':
        cfg.model.backbone.update(drop_path_rate=0.3, attn_drop_rate=0.1)
    cfg.experiment_name = work_dir.name
    cfg.update(kwargs)
    return cfg


def train(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    return {name: value.clone() for name, value in runner.model.state_dict().items()}


@pytest.mark.parametrize('method', METHODS)
def test_a_resumed_run_continues_to_the_bit(method, tmp_path):
    whole = train(config(method, tmp_path / 'whole'))
    torch.rand(5)  # another state of the global generator
    rest = train(
        config(
            method,
            tmp_path / 'rest',
            resume=True,
            load_from=str(tmp_path / 'whole' / 'epoch_1.pth'),
        )
    )
    assert whole.keys() == rest.keys()
    for name, value in whole.items():
        assert torch.equal(rest[name], value), name


class Average(Hook):
    """The recursion of the target network, by hand."""

    priority = 'LOWEST'

    def __init__(self, momentum):
        self.momentum = momentum

    def before_train(self, runner):
        self.target = {k: v.clone() for k, v in runner.model.backbone.named_parameters()}
        self.start = {k: v.clone() for k, v in self.target.items()}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        for name, param in runner.model.backbone.named_parameters():
            m = self.momentum
            self.target[name] = m * self.target[name] + (1 - m) * param.detach()


def test_target_network_is_the_moving_average(tmp_path):
    hook = dict(type='TargetNetworkHook', momentum=0.9, end_momentum=0.9)
    cfg = config('data2vec', tmp_path, custom_hooks=[hook])
    cfg.optim_wrapper.optimizer.lr = 0.1
    runner = Runner.from_cfg(cfg)
    average = Average(0.9)
    runner.register_hook(average)
    runner.train()
    target = dict(runner.model.target_backbone.named_parameters())
    for name, value in average.target.items():
        torch.testing.assert_close(target[name], value.detach(), msg=name)
    assert any(not torch.equal(target[k], v) for k, v in average.start.items())


class Losses(Hook):
    """What each rank computed, before the logger averages."""

    priority = 'LOWEST'

    def __init__(self):
        self.values = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.values.append(float(outputs['loss']))


def losses_of(method, tmp, world_size):
    """Losses of two epochs without dropout at learning rate 0: a function of images and masks."""
    cfg = config(method, tmp, world_size=world_size)
    if method == 'data2vec':
        cfg.model.backbone.update(drop_path_rate=0.0, attn_drop_rate=0.0)
    cfg.optim_wrapper.optimizer.lr = 0.0
    cfg.launcher = 'none' if world_size == 1 else 'pytorch'
    runner = Runner.from_cfg(cfg)
    losses = Losses()
    runner.register_hook(losses)
    runner.train()
    return losses.values


def on_rank(rank, world_size, tmp):
    return {m: losses_of(m, tmp / f'{m}_{rank}', world_size) for m in METHODS}


def test_masks_do_not_depend_on_the_number_of_ranks(tmp_path):
    alone = {m: losses_of(m, tmp_path / f'{m}_alone', 1) for m in METHODS}
    for method in METHODS:
        assert len({round(value, 5) for value in alone[method]}) == 4, 'each step has its own'
    for results in run_ranks(2, on_rank, 2, tmp_path):
        for method, losses in results.items():
            assert losses == pytest.approx(alone[method], rel=1e-4)

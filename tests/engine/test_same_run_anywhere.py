"""Views and patches do not depend on the number of ranks or workers: real data, real Runner."""

import tempfile

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from tests.gloo import run_ranks
from tests.smoke import smoke_config

BATCH, STEPS, EPOCHS = 12, 2, 2


class Losses(Hook):
    priority = 'LOWEST'

    def __init__(self):
        self.values = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.values.append([float(outputs[k]) for k in ('loss_ce', 'loss_prior')])


def train(world_size, num_workers, mode, name='one'):
    """Losses of two epochs at learning rate 0: a function of views and patches alone."""
    with tempfile.TemporaryDirectory() as work_dir:
        cfg = smoke_config('configs/pmsn/pmsn_vit-mini_digits-lt.py', work_dir, {})
        cfg.train_dataloader.update(
            batch_size=BATCH // world_size,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
        )
        cfg.train_dataloader.dataset.indices = BATCH * STEPS
        cfg.train_cfg.max_epochs = EPOCHS
        cfg.model.patch_drop_mode = mode
        cfg.optim_wrapper.optimizer.lr = 0.0
        for name_ in ('val_dataloader', 'val_cfg', 'val_evaluator'):
            cfg[name_] = None
        cfg.experiment_name = f'{name}_{world_size}_{num_workers}_{mode}'
        cfg.launcher = 'none' if world_size == 1 else 'pytorch'
        runner = Runner.from_cfg(cfg)
        losses = Losses()
        runner.register_hook(losses)
        runner.train()
        return losses.values


def train_on_rank(rank, world_size):
    return {mode: train(world_size, 0, mode, f'rank{rank}') for mode in ('batch', 'sample')}


@pytest.fixture(scope='module')
def alone():
    return {mode: train(1, 0, mode) for mode in ('batch', 'sample')}


def test_epochs_have_views_of_their_own(alone):
    assert alone['batch'][0] != pytest.approx(alone['batch'][STEPS], rel=1e-3)
    assert alone['batch'][0] != pytest.approx(alone['sample'][0], rel=1e-6), 'modes differ'


def test_persistent_workers_change_nothing(alone):
    assert train(1, 2, 'batch') == alone['batch']


@pytest.mark.parametrize('world_size', [2, 3])
def test_ranks_change_nothing_but_rounding(alone, world_size):
    for results in run_ranks(world_size, train_on_rank, world_size):
        for mode, losses in results.items():
            for mine, reference in zip(losses, alone[mode]):
                assert mine == pytest.approx(reference, rel=1e-4)

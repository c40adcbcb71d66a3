"""Every method's training is the same on 1, 2, 3 and 4 ranks: real configs, data and Runner."""

import tempfile

import pytest
import torch
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from tests.gloo import run_ranks
from tests.smoke import smoke_config
from tests.test_methods_learn import COURSES

GLOBAL_BATCH, STEPS = 12, 4

pytestmark = pytest.mark.slow


def train(method, world_size):
    """What a few steps change in the weights, from the same start.

    By plain gradient descent: AdamW divides by the size of a gradient, so that
    rounding decides the sign of a step where the gradient is nothing but rounding.
    """
    with tempfile.TemporaryDirectory() as work_dir:
        cfg = smoke_config(f'configs/{method}/{method}_vit-mini_patterns-lt.py', work_dir, {})
        cfg.train_dataloader.update(batch_size=GLOBAL_BATCH // world_size)
        cfg.train_dataloader.dataset.indices = GLOBAL_BATCH * STEPS
        cfg.optim_wrapper.optimizer = dict(type='SGD', lr=0.05, weight_decay=0.0)
        cfg.param_scheduler = None
        for name in ('val_dataloader', 'val_cfg', 'val_evaluator'):
            cfg[name] = None
        cfg.experiment_name = f'{method}-of-{world_size}-{torch.distributed.is_initialized()}'
        cfg.launcher = 'none' if world_size == 1 else 'pytorch'
        cfg.log_level = 'ERROR'
        runner = Runner.from_cfg(cfg)
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        runner._init_model_weights()
        runner._init_model_weights = lambda: None
        before = {name: value.clone() for name, value in model.state_dict().items()}
        runner.train()
        assert runner.iter == STEPS
        return {
            name: value - before[name]
            for name, value in model.state_dict().items()
            if value.is_floating_point()
        }


def train_all(rank, world_size):
    torch.set_num_threads(1)
    return {method: train(method, world_size) for method in COURSES}


@pytest.fixture(scope='module')
def alone():
    return train_all(0, 1)


@pytest.mark.parametrize('world_size', [2, 3, 4])
def test_ranks_change_nothing_but_rounding(alone, world_size):
    """Of the change of all weights together less than 1 in 1,000; the ranks agree to the bit."""
    first, *others = run_ranks(world_size, train_all, world_size, timeout=3000)
    for method, expected in alone.items():
        for other in others:
            for name, value in first[method].items():
                # Statistics of a batch norm are those of all ranks; masks and queues a rank's own.
                torch.testing.assert_close(other[method][name], value, rtol=1e-5, atol=1e-7)
        moved = torch.cat([value.flatten() for value in expected.values()])
        found = torch.cat([first[method][name].flatten() for name in expected])
        difference = float((found - moved).norm() / moved.norm())
        print(f'{method} on {world_size} ranks: {difference:.1e} of {float(moved.norm()):.3g}')
        assert moved.norm() > 1e-3 and difference < 1e-3, method

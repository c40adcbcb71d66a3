"""The schedules that the configs name, against closed forms at every step."""

import math
from pathlib import Path

import pytest
import torch
from mmengine import Config
from mmpretrain.registry import PARAM_SCHEDULERS

import mmssl_prior  # noqa: F401
from mmssl_prior.engine.hooks import TargetNetworkHook, ema_momentum

ROOT = Path(__file__).parents[2]
STEPS_PER_EPOCH = 9


def run_schedules(path):
    """Learning rate and the weight decay of both kinds of groups before each iteration."""
    cfg = Config.fromfile(ROOT / path)
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    wd = cfg.optim_wrapper.optimizer.weight_decay
    optimizer = torch.optim.AdamW(
        [dict(params=weights[:1]), dict(params=weights[1:], weight_decay=0.0)],
        lr=cfg.optim_wrapper.optimizer.lr,
        weight_decay=wd,
    )
    schedulers = []
    for item in cfg.param_scheduler:
        item = dict(item)
        assert item.pop('convert_to_iter_based')
        kind = PARAM_SCHEDULERS.get(item.pop('type'))
        schedulers.append(
            kind.build_iter_from_epoch(optimizer=optimizer, epoch_length=STEPS_PER_EPOCH, **item)
        )
    values = []
    for _ in range(cfg.train_cfg.max_epochs * STEPS_PER_EPOCH):
        values.append(
            [optimizer.param_groups[0]['lr']] + [g['weight_decay'] for g in optimizer.param_groups]
        )
        for scheduler in schedulers:
            scheduler.step()
    return cfg, values


def test_release_schedules_of_the_main_config():
    """Within one iteration of the release, which steps its schedules before each iteration."""
    cfg, values = run_schedules('configs/pmsn/pmsn_vit-b16_inat18.py')
    epochs = cfg.train_cfg.max_epochs
    assert epochs == 300
    warmup, total = 15 * STEPS_PER_EPOCH, 1.25 * epochs * STEPS_PER_EPOCH

    def released_lr(step):
        if step < warmup:
            return 2e-4 + (1e-3 - 2e-4) * step / warmup
        return 1e-6 + (1e-3 - 1e-6) * 0.5 * (
            1 + math.cos(math.pi * (step - warmup) / (total - warmup))
        )

    def released_wd(step):
        return 0.4 + (0.04 - 0.4) * 0.5 * (1 + math.cos(math.pi * step / total))

    for i, (lr, wd, none) in enumerate(values):
        low, high = sorted((released_lr(i), released_lr(i + 1)))
        assert low - 1e-9 <= lr <= high + 1e-9, i
        assert wd == pytest.approx(released_wd(i), rel=1e-6), i
        assert none == 0
    assert values[0][0] == pytest.approx(2e-4)
    assert values[warmup][0] == pytest.approx(1e-3)


def test_momentum_against_closed_forms():
    total = 1000
    for i in range(total):
        x = i / (1.25 * total)
        assert ema_momentum(x, 0.996, 1.0, 'linear') == pytest.approx(0.996 + 0.004 * i / 1250)
        assert ema_momentum(x, 0.996, 1.0, 'cosine') == pytest.approx(
            1 - 0.004 * (math.cos(math.pi * x) + 1) / 2
        )
    assert ema_momentum(0.8, 0.996, 1.0, 'linear') == pytest.approx(0.9992)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(schedule='step'), 'schedule'),
        (dict(momentum=1.5), 'momentum'),
        (dict(end_momentum=-1.0), 'end_momentum'),
        (dict(stretch=0.5), 'stretch'),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TargetNetworkHook(**kwargs)

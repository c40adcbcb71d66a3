"""One warning where the schedules do not end with the training, and none on configs as shipped."""

import logging
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmssl_prior.config import (
    apply_overrides,
    check_checkpoints,
    load_config,
    parse_overrides,
    warn_of_schedules,
)
from mmssl_prior.config.schedules import warn_of_restored_schedules
from tests.smoke import CONFIGS, ROOT

MAIN = ROOT / 'configs/pmsn/pmsn_vit-b16_inat18.py'


@pytest.fixture
def warnings(monkeypatch):
    """Checks a config and returns what was logged."""
    lines = []

    def log(message, logger, level):
        assert (logger, level) == ('current', logging.WARNING)
        lines.append(message)

    monkeypatch.setattr('mmssl_prior.config.schedules.print_log', log)

    def check(cfg):
        warn_of_schedules(cfg)
        return lines

    return check


@pytest.mark.parametrize(
    'path',
    CONFIGS,
    ids=lambda path: Path(path).stem,
)
def test_own_configs(path, warnings):
    assert warnings(load_config(ROOT / path)) == []


@pytest.mark.parametrize('where', ['option', 'child'])
def test_other_max_epochs_names_both_values(where, warnings, tmp_path):
    if where == 'option':
        cfg = load_config(MAIN)
        apply_overrides(cfg, parse_overrides(['train_cfg.max_epochs=100']))
    else:
        child = tmp_path / 'child.py'
        child.write_text(f'_base_ = [{str(MAIN)!r}]\ntrain_cfg = dict(max_epochs=100)\n')
        cfg = load_config(child)
    (line,) = warnings(cfg)
    assert line.startswith(
        'train_cfg.max_epochs is 100 but the last param_scheduler ends at 300: set both in the '
    )
    assert '\n' not in line


WARM_UP = dict(type='LinearLR', end=5)


@pytest.mark.parametrize(
    ('schedules', 'warned'),
    [
        ([WARM_UP, dict(type='CosineAnnealingLR', T_max=99, begin=5, end=20)], 0),
        ([WARM_UP, dict(type='CosineAnnealingLR', T_max=15, begin=5, end=19)], 1),
        # Without an end it lasts as long as the training.
        ([WARM_UP, dict(type='CosineAnnealingLR', begin=5)], 0),
        ([dict(type='CosineAnnealingLR', by_epoch=False, end=9000)], 0),
        (dict(type='CosineAnnealingLR', end=30), 1),
        (dict(generator=[dict(type='CosineAnnealingLR', end=30)]), 0),
        ([], 0),
        (None, 0),
    ],
)
def test_last_end(schedules, warned, warnings):
    cfg = Config(dict(train_cfg=dict(max_epochs=20), param_scheduler=schedules))
    assert len(warnings(cfg)) == warned


@pytest.mark.parametrize('train_cfg', [None, dict(by_epoch=False, max_iters=100)])
def test_no_epochs(train_cfg, warnings):
    cfg = Config(dict(train_cfg=train_cfg, param_scheduler=[dict(type='StepLR', end=30)]))
    assert warnings(cfg) == []


@pytest.mark.parametrize(
    ('item', 'state', 'expected'),
    [
        (dict(end=9), dict(end=36, by_epoch=False), None),  # 4 steps an epoch: 9 epochs
        (dict(end=12), dict(end=36, by_epoch=False), 'ends at epoch 9 .* the config says 12'),
        (dict(end=12), dict(end=9, by_epoch=True), 'ends at epoch 9 .* the config says 12'),
        (dict(), dict(end=36, by_epoch=False), 'ends at epoch 9 .* the config says 20'),
        (dict(by_epoch=False, end=99), dict(end=36, by_epoch=False), None),
        (dict(type='WarmupCosineParamScheduler'), dict(end=36, by_epoch=False), None),
    ],
)
def test_schedules_that_a_checkpoint_brings(monkeypatch, item, state, expected):
    """MMEngine restores their length; said when a run is resumed."""
    lines = []
    monkeypatch.setattr(
        'mmssl_prior.config.schedules.print_log',
        lambda message, logger, level: lines.append(message),
    )
    cfg = Config(
        dict(
            train_cfg=dict(max_epochs=20),
            param_scheduler=[dict(dict(type='CosineAnnealingLR'), **item)],
        )
    )
    content = dict(meta=dict(epoch=2, iter=8), param_schedulers=[state])
    warn_of_restored_schedules(cfg, content, 'a.pth')
    if expected is None:
        assert lines == []
    else:
        (line,) = lines
        assert re.search(f'^resume a.pth: its CosineAnnealingLR {expected}', line)
    # The same within the third epoch.
    lines.clear()
    content.update(meta=dict(epoch=2, iter=11), run_state=dict(position=dict(batches=3)))
    warn_of_restored_schedules(cfg, content, 'a.pth')
    assert len(lines) == (expected is not None)
    assert all(re.search(expected, line) for line in lines)
    warn_of_restored_schedules(cfg, dict(state_dict={}), 'a.pth')
    assert len(lines) == (expected is not None)


def test_a_resumed_run_is_checked(monkeypatch, tmp_path):
    """By the check of its checkpoint, before the Runner trains."""
    seen, path = [], tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict={}, meta={}), path)
    monkeypatch.setattr(
        'mmssl_prior.config.checkpoints.warn_of_restored_schedules',
        lambda *arguments: seen.append(arguments[2]),
    )
    check_checkpoints(torch.nn.ReLU(), Config(dict(resume=True, load_from=str(path))))
    assert seen == [str(path)]

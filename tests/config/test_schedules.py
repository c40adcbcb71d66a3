"""One warning where the schedules do not end with the training, and none on configs as shipped."""

import logging
from pathlib import Path

import pytest
from mmengine.config import Config

from mmssl_prior.config import apply_overrides, load_config, parse_overrides, warn_of_schedules

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
MAIN = CONFIGS / 'pmsn' / 'pmsn_vit-b16_inat18.py'


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
    [path for path in sorted(CONFIGS.rglob('*.py')) if '_base_' not in path.parts],
    ids=lambda path: path.stem,
)
def test_own_configs(path, warnings):
    assert warnings(load_config(path)) == []


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

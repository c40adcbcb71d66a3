"""The main job as its user runs it: the command line on the raw download's format."""

import os
import subprocess
import sys

import pytest
import torch

from tests.miniatures import make_inaturalist2018
from tests.processes import run_script
from tests.smoke import ROOT

CONFIG = 'configs/pmsn/pmsn_vit-b16_inat18.py'
# Batches and workers that a small machine can carry; everything else is the config's.
SMALL = [
    'train_dataloader.batch_size=4',
    'train_dataloader.num_workers=1',
    'train_cfg.max_epochs=1',
    'val_dataloader.num_workers=0',
    'val_cfg.bank_dataloader.num_workers=0',
    'val_cfg.k=[1,2]',
    'train_cfg.val_interval=1',
    'default_hooks.checkpoint.interval=1',
    'default_hooks.logger.interval=1',
]
# Where a run ends before its first step.
TINY = ['model.backbone.arch=deit-tiny', 'model.neck.in_channels=192']


def train(cwd, *args, command=None):
    env = dict(os.environ, PYTHON=sys.executable, OMP_NUM_THREADS='1')
    if command is None:
        return run_script(ROOT / 'tools/train.py', *args, cwd=cwd, env=env, timeout=500)
    return subprocess.run(
        [*command, *map(str, args)], cwd=cwd, env=env, capture_output=True, text=True, timeout=500
    )


def test_missing_dataset_is_one_line(tmp_path):
    result = train(tmp_path, ROOT / CONFIG)
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith('error')]
    assert len(lines) == 1 and 'Traceback' not in result.stderr, result.stderr
    for word in ('data/inaturalist2018', 'train_val2018.tar.gz', 'train2018.json.tar.gz'):
        assert word in lines[0]
    assert len(result.stdout.splitlines()) < 5, 'the line comes before the config is logged'


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """A directory with the download in its place, a damaged image and a run of the main job."""
    home = tmp_path_factory.mktemp('home')
    data = make_inaturalist2018(home / 'data/inaturalist2018', counts={0: 2, 7: 1, 8141: 1})
    victim = next((data / 'train_val2018').rglob('0/*.jpg'))
    victim.write_bytes(victim.read_bytes()[:300])
    result = train(home, ROOT / CONFIG, '--cfg-options', *SMALL)
    return home, result, victim


def test_main_job_on_the_raw_format(home):
    folder, result, victim = home
    assert result.returncode == 0, result.stderr[-3000:]
    out = result.stdout + result.stderr
    for word in (
        'loss_ce',
        'loss_prior',
        'prior_kl',
        'p_bar_entropy',
        'target_prototypes',
        'target_max',
        'eta',
        'knn_top1',
    ):
        assert word in out, word
    assert out.count(f'cannot decode image {victim.relative_to(folder)}') == 1
    assert 'val_cfg.bank_dataloader: 3 of 4 samples were evaluated' in out
    state = torch.load(folder / 'work_dirs/pmsn_vit-b16_inat18/epoch_1.pth', weights_only=False)
    assert {'backbone.pos_embed', 'target_backbone.pos_embed', 'head.prototypes'} <= set(
        state['state_dict']
    )


def test_without_patience_for_damaged_images(home):
    folder, _, victim = home
    result = train(
        folder,
        ROOT / CONFIG,
        '--work-dir',
        'strict',
        '--cfg-options',
        *SMALL,
        *TINY,
        'default_hooks.undecodable_images.limit=0',
    )
    assert result.returncode == 1 and 'Traceback' not in result.stderr
    assert victim.name in result.stderr and 'undecodable_images.limit' in result.stderr


def test_crop_that_the_patch_does_not_divide(home):
    folder, *_ = home
    result = train(
        folder,
        ROOT / CONFIG,
        '--work-dir',
        'crop',
        '--cfg-options',
        *SMALL,
        *TINY,
        'train_dataloader.dataset.pipeline.1.transforms.1.0.scale=100',
    )
    assert result.returncode == 1 and 'Traceback' not in result.stderr
    assert '100x100 px is not divisible' in result.stderr


def test_two_ranks_through_the_script(tmp_path):
    """dist_train.sh on a machine without GPU: gloo, synchronised batch norm, k-NN on both ranks."""
    config = ROOT / 'configs/pmsn/pmsn_vit-mini_digits-lt.py'
    options = [
        'train_dataloader.batch_size=8',
        '+train_dataloader.dataset.num_images=48',
        'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False',
        'train_cfg.max_epochs=1',
        'train_cfg.val_interval=1',
        'default_hooks.logger.interval=1',
    ]
    script = ['bash', str(ROOT / 'tools/dist_train.sh')]
    result = train(tmp_path, config, 2, '--cfg-options', *options, command=script)
    assert result.returncode == 0, result.stderr[-3000:]
    assert 'Epoch(train) [1][3/3]' in result.stdout.replace('  ', ' '), result.stdout[-2000:]
    assert 'knn_top1' in result.stdout


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('train_dataloader.num_workers=0', 'set train_dataloader.persistent_workers=False as well'),
        ('train_dataloader.batch_size=400', '364 images make no batch of 400'),
    ],
)
def test_loaders_that_cannot_work(tmp_path, option, message):
    result = train(
        tmp_path, ROOT / 'configs/pmsn/pmsn_vit-mini_digits-lt.py', '--cfg-options', option
    )
    assert result.returncode == 1 and 'Traceback' not in result.stderr
    assert message in result.stderr


def test_script_without_the_environment(tmp_path):
    script = ROOT / 'tools/dist_train.sh'
    python = tmp_path / 'python'
    # Without site-packages: as a Python in which nothing was installed.
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    python.chmod(0o755)
    result = subprocess.run(
        ['bash', str(script), 'config.py', '2'],
        cwd=tmp_path,
        env=dict(os.environ, PYTHON=str(python)),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert 'has no mmssl_prior; run: source .venv/bin/activate' in result.stderr

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, MODELS
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from mmssl_prior.errors import UserError
from mmssl_prior.evaluation.demo_report import demo_report
from tests.processes import run_script

ROOT = Path(__file__).parents[1]
CONFIG = """
_base_ = [r'{base}']
train_cfg = dict(max_epochs=2, val_interval=1)
train_dataloader = dict(batch_size=16, num_workers=0, persistent_workers=False,
                        dataset=dict(num_images=40))
val_dataloader = dict(dataset=dict(images_per_class=3))
val_cfg = dict(bank_dataloader=dict(dataset=dict(images_per_class=4)), k=[5, 10])
default_hooks = dict(logger=dict(interval=1))
param_scheduler = []
"""


def _run(tool, *args):
    env = os.environ | dict(OMP_NUM_THREADS='1', COLUMNS='100')
    return run_script(ROOT / 'tools' / tool, *args, env=env, timeout=900)


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp('config') / 'small.py'
    base = ROOT / 'configs' / 'pmsn' / 'pmsn_vit-mini_patterns-lt.py'
    path.write_text(CONFIG.format(base=base.as_posix()))
    return path


@pytest.fixture(scope='module')
def trained(config, tmp_path_factory):
    """A run of the real training tool on a few images."""
    work_dir = tmp_path_factory.mktemp('run')
    done = _run('train.py', config, '--work-dir', work_dir)
    assert done.returncode == 0, done.stderr[-3000:]
    return work_dir


@pytest.fixture
def run(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / 'run'))


def _images_and_labels(dataset):
    """Images as the test pipeline makes them, BGR of 0 to 255, one by one."""
    images = [dataset[i]['inputs'] for i in range(len(dataset))]
    return torch.stack(images).float(), dataset.get_gt_labels()


def _scores(train, train_labels, test, test_labels):
    knn = KNeighborsClassifier(
        5, metric='cosine', algorithm='brute', weights=lambda d: np.exp((1 - d) / 0.07)
    )
    scaler = StandardScaler().fit(train)
    linear = LogisticRegression(C=1.0, max_iter=1000).fit(scaler.transform(train), train_labels)
    return (
        knn.fit(train.astype(np.float64), train_labels).score(test.astype(np.float64), test_labels),
        linear.score(scaler.transform(test), test_labels),
    )


def test_tool_prints_a_table_and_writes_numbers_that_hold(config, run):
    done = _run('demo_report.py', config, run)
    assert done.returncode == 0, done.stderr[-3000:]
    for text in (
        'raw pixels',
        'untrained network',
        'pretrained network',
        'k-NN (k=5)',
        'linear probe',
        str(run / 'curves.png'),
        str(run / 'prototype_usage.png'),
    ):
        assert text in done.stdout
    assert len(done.stdout.splitlines()) < 20, 'the log of initialisation would be hundreds'
    for name in ('curves.png', 'prototype_usage.png'):
        assert (run / name).read_bytes()[:4] == b'\x89PNG'
    results = json.loads((run / 'results.json').read_text())
    assert results['checkpoint'] == str(run / 'epoch_2.pth')
    assert (results['bank_size'], results['test_size']) == (64, 48)

    cfg = Config.fromfile(config)
    init_default_scope('mmpretrain')
    (bank, bank_labels), (test, test_labels) = (
        _images_and_labels(DATASETS.build(loader.dataset))
        for loader in (cfg.val_cfg.bank_dataloader, cfg.val_dataloader)
    )
    model = MODELS.build(cfg.model)
    state = torch.load(run / 'epoch_2.pth', weights_only=False)['state_dict']
    model.load_state_dict(state)
    model.eval()

    norm = cfg.model.data_preprocessor
    assert norm.to_rgb
    mean, std = (torch.tensor(norm[key])[:, None, None] for key in ('mean', 'std'))

    def pixels(images):
        return (images.flip(1) - mean) / std

    def features(images):
        with torch.no_grad():
            return model.target_backbone(pixels(images))[-1].numpy()

    expected = {
        'raw pixels': _scores(
            pixels(bank).flatten(1).numpy(),
            bank_labels,
            pixels(test).flatten(1).numpy(),
            test_labels,
        ),
        'pretrained network': _scores(features(bank), bank_labels, features(test), test_labels),
    }
    for name, values in expected.items():
        score = results['scores'][name]
        # One of 48 images apart: the network sees other batches here, and ties exist.
        assert (score['knn_top1'], score['linear_top1']) == pytest.approx(values, abs=1 / 47)
        assert score['knn_class_mean_top1'] == pytest.approx(score['knn_top1'])
    log = next(run.glob('*/vis_data/scalars.json')).read_text().splitlines()
    last = [json.loads(line) for line in log if 'knn_top1' in line][-1]
    assert last['knn_top1'] == pytest.approx(results['scores']['pretrained network']['knn_top1'])
    assert results['prototype_usage']['num_prototypes'] == 64


def test_run_without_a_checkpoint_is_one_line(config, tmp_path):
    command = [sys.executable, str(ROOT / 'tools/demo_report.py'), str(config), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith('error')]
    assert len(lines) == 1 and 'holds no checkpoint' in lines[0] and str(tmp_path) in lines[0]
    assert 'Traceback' not in done.stderr


def test_moved_folder(config, run):
    (run / 'last_checkpoint').write_text('/somewhere/else/epoch_2.pth')
    assert demo_report(Config.fromfile(config), run)['checkpoint'] == str(run / 'epoch_2.pth')


def test_missing_or_broken_files_are_named(config, run):
    cfg = Config.fromfile(config)
    (run / 'epoch_2.pth').write_bytes(b'not a checkpoint')
    with pytest.raises(UserError, match='epoch_2.pth: not a readable checkpoint'):
        demo_report(cfg, run)
    (run / 'last_checkpoint').write_text('/nowhere/epoch_3.pth')
    with pytest.raises(UserError, match='names epoch_3.pth, which is not there'):
        demo_report(cfg, run)


def test_checkpoint_of_another_model(config, run):
    cfg = Config.fromfile(config)
    cfg.model.head.num_prototypes = 32
    with pytest.raises(UserError, match='of another model .* 1 of .* such as head.prototypes'):
        demo_report(cfg, run)


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(val_dataloader=None), 'the report needs val_dataloader'),
        (dict(val_cfg=dict(type='ValLoop')), 'bank_dataloader'),
    ],
)
def test_config_without_evaluation_splits(config, run, change, message):
    cfg = Config.fromfile(config)
    for key, value in change.items():
        cfg[key] = value
    with pytest.raises(UserError, match=message):
        demo_report(cfg, run)

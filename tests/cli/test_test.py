"""``tools/test.py``: what the config evaluates, of a checkpoint that is the model's."""

import json
import pickle
import re
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from PIL import Image

from mmssl_prior.cli.test import _apply_amp, main
from mmssl_prior.cli.train import main as train_main
from mmssl_prior.errors import UserError

from .test_train import NAMES, ROOT, TOYS, environment

CLASSIFIER = """
default_scope = 'mmpretrain'
custom_imports = dict(imports=['mmssl_prior'], allow_failed_imports=False)
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean=[0] * 3, std=[255] * 3),
    backbone=dict(type='ResNet', depth=18, stem_channels=4, base_channels=4),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=2, in_channels=32),
)
test_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='CustomDataset',
        data_root='{root}',
        pipeline=[dict(type='LoadImage'), dict(type='PackInputs')],
    ),
)
test_cfg = dict()
test_evaluator = dict(type='Accuracy', topk=(1,))
"""
TEST_CONFIG = TOYS / 'toy_test_config.py'
KNN_CONFIG = ROOT / 'configs/pmsn/pmsn_vit-mini_digits-lt.py'


def save_checkpoint(folder, **extra):
    generator = torch.Generator().manual_seed(0)
    state = {
        'line.weight': torch.rand(1, 4, generator=generator),
        'line.bias': torch.rand(1, generator=generator),
    }
    path = folder / 'checkpoint.pth'
    torch.save({'state_dict': {**state, **extra}}, path)
    return path


def expected_metrics(checkpoint):
    """By hand: sample i is the vector of i, for i from 0 to 6."""
    state = torch.load(checkpoint)['state_dict']
    scores = [i * state['line.weight'].sum() + state['line.bias'] for i in range(7)]
    return dict(mean=float(sum(scores) / 7), count=7)


@pytest.fixture
def evaluate_here(tmp_path, capsys, monkeypatch):
    """Exit status, stdout and stderr of the command, in this process."""
    monkeypatch.syspath_prepend(TOYS)
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv('LOCAL_RANK', '0')

    def run(config, checkpoint, *flags, options=()):
        # MMEngine keeps loggers by the name and second of the experiment; runs here are faster.
        options = [f'experiment_name={next(NAMES)}', *options]
        flags = ['--work-dir', str(tmp_path / 'test'), *map(str, flags)]
        status = main([str(config), str(checkpoint), *flags, '--cfg-options', *options])
        return status, *capsys.readouterr()

    return run


def test_metrics_are_printed_and_written(evaluate_here, tmp_path):
    checkpoint = save_checkpoint(tmp_path)
    expected = expected_metrics(checkpoint)
    written = tmp_path / 'new' / 'm.json'
    status, out, error = evaluate_here(TEST_CONFIG, checkpoint, '--out', written)
    assert (status, error) == (0, '')
    assert f'\nmean: {expected["mean"]:.4f}\ncount: 7\nwritten to ' in out
    (log,) = (tmp_path / 'test').glob('*/metrics.json')
    for path in (log, written):
        assert json.loads(path.read_text()) == pytest.approx(expected, rel=1e-6)


def test_predictions(evaluate_here, tmp_path):
    checkpoint = save_checkpoint(tmp_path)
    assert evaluate_here(TEST_CONFIG, checkpoint, '--out', tmp_path / 'p.pkl')[0] == 0
    predictions = pickle.loads((tmp_path / 'p.pkl').read_bytes())
    mean = sum(item['score'] for item in predictions) / 7
    assert mean == pytest.approx(expected_metrics(checkpoint)['mean'], rel=1e-6)


def test_training_folder_keeps_its_config(tmp_path):
    """By default the results lie in a folder of their own; the script is the command."""
    checkpoint = save_checkpoint(tmp_path)
    command = [sys.executable, str(ROOT / 'tools/test.py'), str(TEST_CONFIG), str(checkpoint)]
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment(), cwd=tmp_path
    )
    assert (result.returncode, result.stderr) == (0, '')
    folder = tmp_path / 'work_dirs' / 'toy_test_config'
    assert [path.name for path in folder.iterdir()] == ['test']
    assert len(list(folder.glob('test/*/metrics.json'))) == 1


@pytest.mark.parametrize(
    ('config', 'extra', 'flags', 'message'),
    [
        ('toy_config', {}, (), r'toy_config\.py: evaluates nothing: it has neither test_datal'),
        ('toy_test_config', {}, ('--out', 'x.txt'), r'--out x\.txt: must end in \.json'),
        (
            'toy_test_config',
            {'line.bias': torch.zeros(3)},
            (),
            r'checkpoint .*\.pth: 1 weights of the model are missing in it .*: '
            r'line\.bias \(1,\) \(\(3,\)\); give a checkpoint of a run of this config',
        ),
        (
            'toy_test_config',
            {'line.weight': torch.zeros(3), 'line.bias': torch.zeros(3)},
            (),
            r'checkpoint .*\.pth: no key fits the model by name and shape',
        ),
    ],
    ids=['nothing', 'out', 'part', 'none'],
)
def test_mistake_is_one_line(evaluate_here, tmp_path, config, extra, flags, message):
    checkpoint = save_checkpoint(tmp_path, **extra)
    status, _, error = evaluate_here(TOYS / f'{config}.py', checkpoint, *flags)
    assert status == 1
    assert error.startswith('error: ') and error.count('\n') == 1
    assert re.search(message, error), error


def test_missing_checkpoint_is_said_before_the_config_is_logged(evaluate_here, tmp_path):
    expected = f'error: checkpoint {tmp_path}/gone.pth: no such file\n'
    assert evaluate_here(TEST_CONFIG, tmp_path / 'gone.pth') == (1, '', expected)


def test_missing_data_is_said_before_the_config_is_logged(evaluate_here, tmp_path):
    config = ROOT / 'configs/pmsn/benchmarks/vit-b16_8xb128-linear-coslr-100e_in1k.py'
    options = ['test_dataloader.dataset.data_root=/no/such/imagenet']
    status, out, error = evaluate_here(config, save_checkpoint(tmp_path), options=options)
    assert (status, out) == (1, '')
    assert re.fullmatch(r'error: .*/no/such/imagenet.*\n', error), error


def test_a_label_that_would_mean_another_class(evaluate_here, tmp_path):
    """The classes of the test data against those that the checkpoint was trained on."""
    for name in 'ab':
        (tmp_path / 'data' / name).mkdir(parents=True)
        Image.new('RGB', (8, 8)).save(tmp_path / 'data' / name / '0.png')
    (tmp_path / 'classifier.py').write_text(CLASSIFIER.format(root=tmp_path / 'data'))
    cfg = Config.fromfile(tmp_path / 'classifier.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        state = MODELS.build(cfg.model).state_dict()
    for classes, expected in ((('a', 'b'), 0), (('a', 'c'), 1)):
        meta = dict(dataset_meta=dict(classes=classes))
        torch.save(dict(state_dict=state, meta=meta), tmp_path / 'c.pth')
        status, out, error = evaluate_here(tmp_path / 'classifier.py', tmp_path / 'c.pth')
        assert status == expected, error
    assert error.startswith(
        'error: the training of the checkpoint has 2 classes, test_dataloader 2, and a label would '
        'mean another class in each: c only in the training of the checkpoint; b only in test_'
    )


def test_pretraining_is_evaluated_by_its_validation(evaluate_here, tmp_path, capsys):
    """k-NN of the last checkpoint is what the training said of its last epoch."""
    small = ['train_dataloader.batch_size=16', '+train_dataloader.dataset.num_images=48']
    small += ['train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False']
    small += ['train_cfg.max_epochs=1', 'train_cfg.val_interval=1', 'experiment_name=knn']
    work_dir = tmp_path / 'train'
    flags = ['--work-dir', str(work_dir), '--cfg-options', *small]
    assert train_main([str(KNN_CONFIG), *flags]) == 0
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    logged = json.loads(log.read_text().splitlines()[-1])
    capsys.readouterr()
    # A hook that saves the best would want a training.
    options = ['+default_hooks.checkpoint.save_best=knn_top1']
    status, _, error = evaluate_here(KNN_CONFIG, work_dir / 'epoch_1.pth', options=options)
    assert (status, error) == (0, '')
    (path,) = (tmp_path / 'test').glob('*/metrics.json')
    metrics = json.loads(path.read_text())
    assert list(metrics) == ['knn_top1', 'knn_top1_k10', 'knn_top1_k20']
    assert metrics == pytest.approx({name: logged[name] for name in metrics}, abs=1e-9)
    assert not list((tmp_path / 'test').rglob('*.pth'))
    status, _, error = evaluate_here(KNN_CONFIG, work_dir / 'epoch_1.pth', '--out', 'x.pkl')
    message = 'error: --out x.pkl: a validation loop has no predictions; write a .json\n'
    assert (status, error) == (1, message)


@pytest.mark.parametrize('loop', [dict(), dict(type='TestLoop')])
def test_amp(loop):
    cfg = Config(dict(test_cfg=loop))
    _apply_amp(cfg, 'test')
    assert cfg.test_cfg == dict(**loop, fp16=True)


def test_amp_of_a_loop_without():
    with pytest.raises(UserError, match='--amp: the KNNValLoop of val_cfg has no mixed precision'):
        _apply_amp(Config(dict(val_cfg=dict(type='KNNValLoop'))), 'val')

"""The folder reaches the data set that is built, by the environment and by the command line."""

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

from mmssl_prior.cli.train import build_config, main, parse_args
from mmssl_prior.config import load_config
from mmssl_prior.errors import UserError
from tests.smoke import ROOT, smoke_config

CONFIG = str(ROOT / 'configs/pmsn/pmsn_vit-s16_folder.py')
PROBE = str(ROOT / 'configs/pmsn/benchmarks/vit-s16_linear_folder.py')


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / 'my images'
    root.mkdir()
    for i in range(3):
        Image.new('RGB', (40, 30)).save(root / f'{i}.png')
    return root


def built(*options):
    cfg = build_config(parse_args([CONFIG, '--cfg-options', 'launcher=none', *options]))
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = Runner.build_dataloader(cfg.train_dataloader, seed=0).dataset
    return [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]


def test_environment(folder, monkeypatch):
    monkeypatch.setenv('DATA_ROOT', str(folder))
    assert built() == [str(folder / f'{i}.png') for i in range(3)]


def test_command_line(folder, monkeypatch):
    monkeypatch.delenv('DATA_ROOT', raising=False)
    paths = built(f'train_dataloader.dataset.data_root={folder}')
    assert paths == [str(folder / f'{i}.png') for i in range(3)]


def test_a_variable_of_the_file_changes_nothing_and_is_refused(folder):
    with pytest.raises(UserError, match='override train_dataloader.dataset.data_root'):
        built(f'data_root={folder}')


@pytest.mark.parametrize(
    ('images', 'message'),
    [
        (None, 'images is not a folder: set data_root of the dataset'),
        (0, 'no image below'),
        (1, '1 image in the data'),
        (3, '3 images make no batch of 64 on each of 1 ranks'),
    ],
)
def test_too_few_images_in_one_line(tmp_path, monkeypatch, capsys, images, message):
    root = tmp_path / 'images'
    for i in range(images or 0):
        root.mkdir(exist_ok=True)
        Image.new('RGB', (40, 30)).save(root / f'{i}.png')
    if images == 0:
        root.mkdir()
    monkeypatch.setenv('DATA_ROOT', str(root))
    monkeypatch.setenv('LOCAL_RANK', '0')
    status = main(
        [CONFIG, '--work-dir', str(tmp_path / 'run'), '--cfg-options']
        + ['train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False']
    )
    (line,) = [s for s in capsys.readouterr().err.splitlines() if s.startswith('error: ')]
    assert status == 1 and message in line


def test_values():
    cfg = load_config(CONFIG)
    assert cfg.model.backbone.arch == 'vit-s/16' and cfg.model.neck.in_channels == 384
    assert cfg.train_dataloader.batch_size == 64
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(2.5e-4)
    views = cfg.train_dataloader.dataset.pipeline[1]
    assert views.num_views == [2, 10]
    assert [steps[0].scale for steps in views.transforms] == [224, 96]
    assert cfg.val_dataloader is None and cfg.val_cfg is None


def test_probe_on_own_labels(monkeypatch, tmp_path):
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    monkeypatch.setenv('NUM_CLASSES', '3')
    monkeypatch.setenv('CHECKPOINT', 'some.pth')
    cfg = load_config(PROBE)
    assert cfg.model.backbone.init_cfg.checkpoint == 'some.pth'
    assert cfg.model.head.num_classes == cfg.data_preprocessor.num_classes == 3
    assert cfg.val_evaluator.topk == (1,)
    for split, loader in (('train', cfg.train_dataloader), ('val', cfg.val_dataloader)):
        assert (loader.dataset.data_root, loader.dataset.data_prefix) == (str(tmp_path), split)


def test_summary_changes_no_weight_of_the_real_model(tmp_path):
    """MSN with synchronised batch norm, patch dropping and a target network."""
    states = []
    for name in ('without', 'with'):
        cfg = smoke_config('configs/pmsn/pmsn_vit-mini_patterns-lt.py', tmp_path / name, {})
        cfg.train_dataloader.batch_size = 4
        cfg.train_dataloader.dataset.indices = 8
        cfg.model.backbone.drop_path_rate = 0.5
        cfg.experiment_name = f'summary-{name}'
        if name == 'with':
            cfg.default_hooks.data_summary = dict(type='DataSummaryHook')
        runner = Runner.from_cfg(cfg)
        runner.train()
        states.append(runner.model.state_dict())
    assert runner.iter == 2
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name

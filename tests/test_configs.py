"""Every config builds everything it names and trains a step."""

import ast

import pytest
import torch
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from mmssl_prior.config import check_arguments
from tests.miniatures import make_imagenet, make_inaturalist2018
from tests.smoke import CONFIGS, ROOT, smoke_config


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return dict(
        INaturalist2018=make_inaturalist2018(tmp_path_factory.mktemp('inat'), counts={0: 4, 7: 4}),
        ImageNet=make_imagenet(tmp_path_factory.mktemp('in1k'), images_per_class=1, size=(32, 24)),
    )


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Weights as the main config saves them."""
    cfg = smoke_config('configs/pmsn/pmsn_vit-b16_inat18.py', '', {})
    path = tmp_path_factory.mktemp('checkpoint') / 'epoch_1.pth'
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta={}), path)
    return path


def test_there_are_configs():
    assert 'configs/pmsn/pmsn_vit-b16_inat18.py' in CONFIGS and len(CONFIGS) >= 5


@pytest.mark.parametrize('path', CONFIGS)
def test_config_trains_a_step(path, tmp_path, data, checkpoint):
    cfg = smoke_config(path, tmp_path, data, checkpoint)
    check_arguments(cfg)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 1
    if cfg.get('val_cfg'):
        runner.build_val_loop(cfg.val_cfg)
    assert (tmp_path / 'epoch_1.pth').is_file() or cfg.default_hooks.checkpoint.interval > 1


@pytest.mark.parametrize('path', CONFIGS)
def test_config_opens_with_its_command_and_result(path):
    text = ast.get_docstring(ast.parse((ROOT / path).read_text()))
    assert text and path in text, 'the docstring gives the command that runs the config'
    assert 'Result' in text


def test_values_of_the_main_config(tmp_path):
    cfg = smoke_config('configs/pmsn/pmsn_vit-b16_inat18.py', tmp_path, {})
    full = type(cfg).fromfile(ROOT / 'configs/pmsn/pmsn_vit-b16_inat18.py')
    assert full.train_dataloader.batch_size == 128 and full.train_cfg.max_epochs == 300
    assert full.train_dataloader.dataset.pipeline[1].num_views == [2, 10]
    head = full.model.head
    assert head.num_prototypes == 1024 and head.prior == dict(type='PowerLawPrior', exponent=0.25)
    assert head.prior_loss.loss_weight == 1.0 and full.model.patch_drop == 0.15
    assert full.model.backbone.arch == 'deit-base'

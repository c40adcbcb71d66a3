"""Every config builds everything it names and trains a step."""

import ast
import copy
import functools
import re
from pathlib import Path

import pytest
import torch
from mmengine import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmssl_prior.config import check_arguments
from tests.miniatures import (
    make_cifar100,
    make_clevr,
    make_imagenet,
    make_inaturalist2018,
    make_kitti,
    make_places205,
)
from tests.smoke import CONFIGS, ROOT, smoke_config

MAIN = 'configs/pmsn/pmsn_vit-b16_inat18.py'
BENCHMARKS = [path for path in CONFIGS if '/benchmarks/' in path]
PRETRAINING = [path for path in CONFIGS if path not in BENCHMARKS]
# A config that pretrains the encoder with which the name of a benchmark begins.
PRETRAINED = {
    'vit-b16': MAIN,
    'vit-s16': 'configs/pmsn/pmsn_vit-s16_in1k.py',
    'r50': 'configs/pmsn/pmsn_r50_in1k.py',
}


def distinct(paths):
    """One of those benchmarks that differ in their checkpoint alone."""
    seen = {}
    for path in paths:
        cfg = Config.fromfile(ROOT / path)
        cfg.pop('checkpoint', None)
        cfg.model.backbone.get('init_cfg', {}).pop('checkpoint', None)
        seen.setdefault(str(cfg.to_dict()), path)
    return list(seen.values())


def first_of_their_model(paths):
    """Configs whose model and optimizer no config before them has, and the others.

    Linear probes that differ in the number of their classes count as one. What sets the others
    apart, their images and batches, is built by tests/test_stack.py.
    """
    first, others, seen = [], [], set()
    for path in sorted(paths, key=lambda path: path != MAIN):
        cfg = Config.fromfile(ROOT / path)
        cfg.model.pop('num_classes', None)
        key = str((cfg.model, cfg.optim_wrapper))
        (others if key in seen else first).append(path)
        seen.add(key)
    return first, others


FIRST, VARIANTS = first_of_their_model(PRETRAINING)
LINEAR = [path for path in BENCHMARKS if path.startswith('configs/benchmarks/linear/')]
_, LINEAR_VARIANTS = first_of_their_model(LINEAR)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    imagenet = make_imagenet(tmp_path_factory.mktemp('in1k'), images_per_class=1, size=(32, 24))
    clevr = make_clevr(tmp_path_factory.mktemp('clevr') / 'CLEVR_v1.0')
    return dict(
        INaturalist2018=make_inaturalist2018(tmp_path_factory.mktemp('inat'), counts={0: 4, 7: 4}),
        ImageNet=imagenet,
        ImageNet1K=imagenet,
        CustomDataset=imagenet,
        ImageFolder=imagenet / 'val',
        CIFAR100Archive=make_cifar100(tmp_path_factory.mktemp('cifar100')),
        ClevrCount=clevr,
        ClevrDist=clevr,
        KittiDist=make_kitti(tmp_path_factory.mktemp('kitti') / 'kitti'),
        Places205CSV=make_places205(tmp_path_factory.mktemp('places') / 'places205'),
    )


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory, data):
    """What a config that pretrains an encoder saves after a step, by the encoder's name."""

    @functools.cache
    def saved_by(encoder):
        cfg = smoke_config(PRETRAINED[encoder], tmp_path_factory.mktemp(encoder), data)
        cfg.default_hooks.checkpoint.update(interval=1, save_optimizer=False)
        run(cfg)
        return f'{cfg.work_dir}/epoch_1.pth'

    return saved_by


class Start(Hook):
    """The weights that training starts from."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.state = copy.deepcopy(runner.model.state_dict())


def run(cfg):
    check_arguments(cfg)
    runner = Runner.from_cfg(cfg)
    start = Start()
    runner.register_hook(start)
    runner.train()
    assert runner.iter == 1
    return runner, start.state


def test_there_are_configs():
    assert MAIN in CONFIGS and len(PRETRAINING) >= 3 and len(BENCHMARKS) >= 2


@pytest.mark.parametrize(
    'path', [*FIRST, *(pytest.param(path, marks=pytest.mark.slow) for path in VARIANTS)]
)
def test_pretraining_config_trains_a_step(path, tmp_path, data):
    cfg = smoke_config(path, tmp_path, data)
    runner, start = run(cfg)
    moved = {
        name
        for name, param in runner.model.named_parameters()
        if param.requires_grad and not torch.equal(param, start[name])
    }
    assert any(name.startswith('backbone.') for name in moved)
    # Elsewhere they were seen not to learn.
    assert 'head.prototypes' in moved or 'head.prototypes' not in start
    if cfg.val_cfg:
        runner.build_val_loop(cfg.val_cfg)


@pytest.mark.parametrize(
    'path',
    [
        pytest.param(path, marks=pytest.mark.slow if path in LINEAR_VARIANTS else ())
        for path in distinct(BENCHMARKS)
    ],
)
def test_benchmark_trains_a_step_from_our_checkpoint(path, tmp_path, data, checkpoint):
    """Its backbone is our target network to the bit; a linear probe leaves it so."""
    (encoder,) = set(PRETRAINED).intersection(Path(path).stem.split('_'))
    pretrained = checkpoint(encoder)
    runner, start = run(smoke_config(path, tmp_path, data, pretrained))
    saved = torch.load(pretrained, weights_only=False)['state_dict']
    names = [name for name in saved if name.startswith('target_backbone.')]
    assert names
    moved = []
    for name in names:
        inner = name.removeprefix('target_')
        assert torch.equal(start[inner], saved[name]), name
        moved.append(not torch.equal(runner.model.state_dict()[inner], saved[name]))
    assert any(moved) == ('finetune' in path)


@pytest.mark.parametrize('path', CONFIGS)
def test_config_opens_with_its_command_and_result(path):
    text = ast.get_docstring(ast.parse((ROOT / path).read_text()))
    assert text and path in text, 'the docstring gives the command that runs the config'
    assert 'Result' in text

    assert not re.search(r'\bRESULT\b|@[A-Z]', text), 'a placeholder was left'


def test_values_of_the_main_config():
    cfg = Config.fromfile(ROOT / MAIN)
    model, data = cfg.model, cfg.train_dataloader
    assert (data.batch_size, cfg.train_cfg.max_epochs) == (128, 300)
    assert (model.backbone.arch, model.backbone.patch_size) == ('deit-base', 16)
    assert (model.patch_drop, model.patch_drop_mode) == (0.15, 'batch')
    assert (model.neck.hid_channels, model.neck.out_channels) == (2048, 256)
    head = model.head
    assert (head.num_prototypes, head.embed_dim) == (1024, 256)
    assert (head.temperature, head.sharpening) == (0.1, 0.25)
    assert head.prior == dict(type='PowerLawPrior', exponent=0.25)
    assert head.prior_loss.loss_weight == 1.0
    assert (head.sinkhorn.marginal, head.sinkhorn.iterations) == ('prior', 3)
    assert cfg.optim_wrapper.clip_grad.max_norm == 3.0
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.betas, optimizer.eps) == ('AdamW', (0.9, 0.999), 1e-8)
    (target,) = cfg.custom_hooks
    assert (target.momentum, target.end_momentum, target.schedule, target.stretch) == (
        0.996,
        1.0,
        'linear',
        1.25,
    )
    views = data.dataset.pipeline[1]
    assert views.num_views == [2, 10]
    large, focal = (steps[0] for steps in views.transforms)
    assert (large.scale, large.crop_ratio_range) == (224, (0.3, 1.0))
    assert (focal.scale, focal.crop_ratio_range) == (96, (0.05, 0.3))
    for steps in views.transforms:
        flip, jitter, gray, blur = steps[1:]
        assert (flip.prob, gray.prob, blur.prob, blur.radius_range) == (0.5, 0.2, 0.5, (0.1, 2.0))
        assert [jitter[k] for k in ('brightness', 'contrast', 'saturation', 'hue', 'prob')] == [
            0.4,
            0.4,
            0.4,
            0.1,
            0.8,
        ]

"""The linear evaluations against the table of VISSL's recipe, value by value."""

import ast

import pytest
import torch
from mmengine import Config
from mmengine.optim import OptimWrapper
from mmpretrain.registry import PARAM_SCHEDULERS

from mmssl_prior.evaluation.tasks import TASKS as DOWNSTREAM
from tests.smoke import ROOT

FOLDER = ROOT / 'configs/benchmarks/linear'
# Classes, epochs, epochs at which the rate falls (None: cosine to a hundredth), transforms of the
# base recipe and of that for vision transformers.
TASKS = {
    'in1k': ('ImageNet1K', 1000, 28, (8, 16, 24), 'crop bilinear', 'crop bicubic'),
    'inat18': ('INaturalist2018', 8142, 84, (24, 48, 72), 'crop bilinear', 'crop bicubic'),
    'places205': ('Places205CSV', 205, 14, (4, 8, 12), 'crop bilinear', 'crop bicubic'),
    'cifar100': ('CIFAR100Archive', 100, 28, (8, 16, 24), 'square bilinear', 'crop bicubic'),
    'clevr-count': ('ClevrCount', 8, 50, None, 'square bilinear', 'square bilinear'),
    'clevr-dist': ('ClevrDist', 6, 100, None, 'square bilinear', 'square bilinear'),
    'kitti-dist': ('KittiDist', 4, 28, (8, 16, 24), 'crop bilinear', 'crop bilinear'),
}
OURS = {'in1k': [], 'places205': [('avg', 'bn'), ('avg', None)]}


def rates(cfg):
    """Learning rate of each epoch, of a head at a tenth of the base rate, too."""
    groups = [
        dict(params=[torch.zeros(1)], lr=cfg.optim_wrapper.optimizer.lr * f) for f in (1, 0.1)
    ]
    optimizer = OptimWrapper(torch.optim.SGD(groups, lr=1.0))
    (schedule,) = cfg.param_scheduler
    schedule = dict(schedule)
    assert not schedule.pop('convert_to_iter_based', False)
    scheduler = PARAM_SCHEDULERS.build(dict(schedule, optimizer=optimizer))
    seen = []
    for _ in range(cfg.train_cfg.max_epochs):
        seen.append([group['lr'] for group in optimizer.optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return torch.tensor(seen, dtype=torch.float64)


def transforms(cfg):
    """What a config does to its images, in words."""
    train, test = cfg.train_dataloader.dataset.pipeline, cfg.test_dataloader.dataset.pipeline
    (views,) = (step for step in train if step.type == 'SeededMultiView')
    ((first, flip),) = views.transforms
    assert views.num_views == [1] and (flip.type, flip.prob) == ('SeededFlip', 0.5)
    kinds = [step.type for step in test if step.type != 'LoadImage']
    if first.type == 'SeededRandomResizedCrop':
        assert first.scale == 224 and 'crop_ratio_range' not in first  # (0.08, 1)
        assert kinds == ['ResizeEdge', 'CenterCrop', 'PackInputs']
        resize, crop = test[-3:-1]
        assert (resize.scale, resize.edge, crop.crop_size) == (256, 'short', 224)
        assert resize.interpolation == first.interpolation
        name = 'crop'
    else:
        assert kinds == ['Resize', 'PackInputs'] and test[-2] == first
        assert first.scale == (224, 224)
        resize, name = first, 'square'
    assert resize.backend == 'pillow'
    return f'{name} {resize.interpolation}'


@pytest.mark.parametrize('arch', ['vit-b16', 'r50'])
@pytest.mark.parametrize('task', TASKS)
def test_vissl(task, arch):
    dataset, classes, epochs, milestones, base, vit = TASKS[task]
    cfg = Config.fromfile(FOLDER / f'vissl_{arch}_{task}.py')
    assert (cfg.model.num_classes, cfg.train_cfg.max_epochs) == (classes, epochs)
    for loader, split in (
        (cfg.train_dataloader, 'train'),
        (cfg.val_dataloader, 'test' if task == 'cifar100' else 'val'),
    ):
        assert (loader.batch_size, loader.drop_last) == (32, False)
        assert (loader.dataset.type, loader.dataset.split) == (dataset, split)
        has_files = task != 'cifar100'
        assert (loader.dataset.pipeline[0].type == 'LoadImage') == has_files
    assert cfg.val_dataloader == cfg.test_dataloader
    assert transforms(cfg) == (vit if arch == 'vit-b16' else base)
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer == dict(type='SGD', lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    decayed = cfg.optim_wrapper.get('paramwise_cfg', {}).get('regularize_bn', False)
    assert decayed == (arch == 'vit-b16')

    epoch = torch.arange(epochs, dtype=torch.float64)
    if milestones:
        factor = 0.1 ** sum((epoch >= milestone).double() for milestone in milestones)
    else:
        factor = 0.01 + 0.99 * (1 + torch.cos(torch.pi * epoch / epochs)) / 2
    expected = torch.stack([0.01 * factor, 0.001 * factor], 1)
    torch.testing.assert_close(rates(cfg), expected)

    heads = [(h.feature, h.in_channels, h.get('norm')) for h in cfg.model.heads]
    if arch == 'vit-b16':
        assert sorted(heads, key=str) == [
            ('cls', 768, 'bn'),
            ('cls', 768, None),
            ('cls4', 3072, 'bn'),
            ('cls4', 3072, None),
        ]
    else:
        vissl = [('avg6x6', 8192, 'bn')] if task == 'places205' else []
        assert heads == [*vissl, ('avg', 2048, 'bn'), ('avg', 2048, None)]
        assert not vissl or cfg.model.heads[0].norm_channels == 2048
    # Heads that VISSL does not have for the task are scored, and never the best.
    ours = [(h.feature, h.get('norm')) for h in cfg.model.heads if h.get('extra')]
    assert ours == ([] if arch == 'vit-b16' else OURS.get(task, [('avg', None)]))


def test_msn():
    cfg = Config.fromfile(FOLDER / 'msn-linear_vit-s16_in1k.py')
    assert cfg.model.heads == [dict(feature='cls_raw', in_channels=384, norm='ln_l2')]
    assert (cfg.model.backbone.arch, cfg.train_dataloader.batch_size) == ('deit-small', 128)
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer == dict(type='SGD', lr=0.8, momentum=0.9, nesterov=True, weight_decay=0.0)
    (schedule,) = cfg.param_scheduler
    assert (schedule.type, schedule.T_max, schedule.eta_min) == ('CosineAnnealingLR', 100, 0.0)
    assert cfg.train_cfg.max_epochs == 100 and transforms(cfg) == 'crop bilinear'


@pytest.mark.parametrize('path', sorted(FOLDER.glob('*.py')), ids=lambda path: path.stem)
def test_the_docstring_says_what_it_costs(path):
    cfg = Config.fromfile(path)
    text = ' '.join((ast.get_docstring(ast.parse(path.read_text())) or '').split())
    assert f'Hardware: 8 GPUs, {cfg.train_dataloader.batch_size} images on each. Cost: ' in text
    task = path.stem.split('_')[-1]
    (size,) = (t.sizes[0] for t in DOWNSTREAM.values() if t.benchmark == task)
    passes = size * cfg.train_cfg.max_epochs / 1e6
    said = float(text.split('Cost: ')[1].split(' million images')[0])
    assert said == pytest.approx(passes, rel=0.02)


def test_checkpoint_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv('CHECKPOINT', 'some/where.pth')
    for path in FOLDER.glob('*.py'):
        cfg = Config.fromfile(path)
        init = cfg.model.backbone.init_cfg
        assert (init.checkpoint, init.prefix) == ('some/where.pth', 'target_backbone.'), path

"""Values of the recipes of SimCLR, VICReg and SwAV, and what their variants change."""

import pytest
from mmengine import Config

from tests.smoke import CONFIGS, ROOT

METHODS = ('simclr', 'vicreg', 'swav')
K_CONFIGS = [path for path in CONFIGS if path.removesuffix('.py').rpartition('_k')[2].isdigit()]
BOTH = ['adaptation', 'decay']


def load(path):
    return Config.fromfile(ROOT / path)


def pick(mapping, *names):
    return tuple(mapping[name] for name in names)


@pytest.mark.parametrize(
    ('method', 'epochs', 'batch', 'lr', 'final', 'start', 'form'),
    [
        ('simclr', 300, 128, 4.8, 0.0, 1e-6, ('separate', True, BOTH, 1e-8)),
        ('vicreg', 1000, 64, 1.6, 1.6e-3, 1e-6, ('update', False, BOTH, 0.0)),
        ('swav', 800, 64, 4.8, 4.8e-3, 0.3 / 4.8, ('separate', False, [], 1e-8)),
    ],
)
def test_optimizers_and_schedules(method, epochs, batch, lr, final, start, form):
    cfg = load(f'configs/{method}/{method}_r50_in1k.py')
    assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size) == (epochs, batch)
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.lr == pytest.approx(lr)
    assert pick(optimizer, 'type', 'momentum', 'weight_decay', 'eta') == (
        'LayerwiseSGD',
        0.9,
        1e-6,
        1e-3,
    )
    assert pick(optimizer, 'trust_norm', 'lr_in_momentum', 'exclude_1d', 'eps') == form
    (schedule,) = cfg.param_scheduler
    assert pick(schedule, 'warmup', 'start_factor', 'stretch') == (10, pytest.approx(start), 1.0)
    found = schedule.get('eta_min', optimizer.lr * schedule.get('eta_min_ratio', 0.0))
    assert found == pytest.approx(final)


def steps(cfg):
    """Arguments by type, of each view."""
    views = cfg.train_dataloader.dataset.pipeline[1]
    return views.num_views, [{step.type: step for step in view} for view in views.transforms]


def check_view(view, scale, crop, jitter, blur):
    rrc = view['SeededRandomResizedCrop']
    assert (rrc.scale, rrc.crop_ratio_range) == (scale, crop)
    color = view['SeededColorJitter']
    assert pick(color, 'brightness', 'contrast', 'saturation', 'hue', 'prob') == (*jitter, 0.8)
    assert view['SeededFlip'].prob == 0.5 and view['SeededGrayscale'].prob == 0.2
    assert pick(view['SeededGaussianBlur'], 'radius_range', 'prob') == ((0.1, 2.0), blur)


@pytest.mark.parametrize('data', ['in1k', 'inat18'])
def test_views(data):
    strong, mild = (0.8, 0.8, 0.8, 0.2), (0.4, 0.4, 0.2, 0.1)
    number, (view,) = steps(load(f'configs/simclr/simclr_r50_{data}.py'))
    assert number == [2]
    check_view(view, 224, (0.08, 1.0), strong, 0.5)
    number, (first, second) = steps(load(f'configs/vicreg/vicreg_r50_{data}.py'))
    assert number == [1, 1]
    for view, blur, solarize in ((first, 1.0, 0.0), (second, 0.1, 0.2)):
        check_view(view, 224, (0.08, 1.0), mild, blur)
        assert view['SeededRandomResizedCrop'].interpolation == 'bicubic'
        assert pick(view['SeededSolarize'], 'thr', 'prob') == (128, solarize)
    number, (large, small) = steps(load(f'configs/swav/swav_r50_{data}.py'))
    assert number == [2, 6]
    check_view(large, 224, (0.14, 1.0), strong, 0.5)
    check_view(small, 96, (0.05, 0.14), strong, 0.5)


def test_heads_and_necks():
    simclr, vicreg, swav = (load(f'configs/{m}/{m}_r50_in1k.py').model for m in METHODS)
    widths = 'in_channels', 'hid_channels', 'out_channels'
    assert pick(simclr.neck, *widths) == (2048, 2048, 128)
    assert simclr.head.loss.temperature == 0.1
    assert pick(vicreg.neck, *widths, 'num_layers') == (2048, 8192, 8192, 3)
    assert pick(vicreg.neck, 'with_bias', 'with_last_bn', 'with_last_bias') == (True, False, False)
    assert pick(vicreg.head.loss, 'invariance_weight', 'variance_weight', 'covariance_weight') == (
        25.0,
        25.0,
        1.0,
    )
    assert pick(swav.neck, *widths) == (2048, 2048, 128)
    assert pick(swav.head, 'num_prototypes', 'temperature', 'epsilon') == (3000, 0.1, 0.05)
    assert pick(swav.head.sinkhorn, 'marginal', 'iterations') == ('prior', 3)
    assert swav.head.prior == dict(type='UniformPrior')
    assert load('configs/swav/swav_r50_in1k.py').custom_hooks[0].frozen_iters == 313


def test_swav_with_a_power_law_is_swav_with_another_prior():
    for name in ('swav_r50_inat18', 'swav_vit-mini_patterns-lt'):
        uniform = load(f'configs/swav/{name}.py').to_dict()
        power_law = load(f'configs/swav/{name}_powerlaw.py').to_dict()
        prior = power_law['model']['head'].pop('prior')
        assert prior == dict(type='PowerLawPrior', exponent=0.25)
        assert uniform['model']['head'].pop('prior') == dict(type='UniformPrior')
        assert power_law == uniform
    inat = load('configs/swav/swav_r50_inat18.py')
    assert (inat.model.head.num_prototypes, inat.train_cfg.max_epochs) == (8142, 100)


@pytest.mark.parametrize('path', K_CONFIGS)
def test_class_batches_change_the_batch_and_nothing_else(path):
    shuffled, _, k = path.removesuffix('.py').rpartition('_k')
    base, cfg = load(f'{shuffled}.py').to_dict(), load(path).to_dict()
    sampler = cfg['train_dataloader'].pop('batch_sampler')
    assert sampler == dict(type='ClassImbalancedBatchSampler', num_classes_per_batch=int(k))
    # The batch sampler gives whole batches, and torch refuses to be told twice.
    assert cfg['train_dataloader'].pop('drop_last') is False
    assert base['train_dataloader'].pop('drop_last') is True
    assert cfg == base


@pytest.mark.parametrize('method', [*METHODS, 'msn', 'pmsn'])
def test_every_cell_of_the_first_experiment_is_a_config(method):
    arch = 'vit-b16' if method.endswith('msn') else 'r50'
    names = [f'{method}_{arch}_in1k', f'{method}_vit-mini_patterns-lt']
    cells = [f'{names[0]}{suffix}' for suffix in ('', '_k960', '_k8')]
    cells += [f'{names[1]}{suffix}' for suffix in ('', '_k16', '_k2')]
    assert {f'configs/{method}/{cell}.py' for cell in cells} <= set(CONFIGS)

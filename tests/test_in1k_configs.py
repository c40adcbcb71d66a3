"""ImageNet-1K: MSN as released, the paper's length, companions that start from these runs."""

import re

import pytest
from mmengine import Config

from mmssl_prior.config.overrides import apply_overrides, parse_overrides
from tests.smoke import CONFIGS, ROOT

MSN = ['configs/msn/msn_vit-b16_in1k.py', 'configs/msn/msn_vit-s16_in1k.py']
BENCHMARKS = [path for path in CONFIGS if re.match(r'configs/p?msn/benchmarks/.*_in1k\.py', path)]


def load(path):
    return Config.fromfile(ROOT / path)


def pmsn(path):
    return path.replace('msn', 'pmsn')


@pytest.mark.parametrize('path', MSN)
def test_msn_is_pmsn_with_a_uniform_prior_and_nothing_else(path):
    msn, other = load(path).to_dict(), load(pmsn(path)).to_dict()
    head = msn['model']['head']
    assert head['prior'] == dict(type='UniformPrior')
    assert head['sinkhorn']['marginal'] == 'uniform'
    for cfg in (msn, other):
        del cfg['model']['head']['prior'], cfg['model']['head']['sinkhorn']['marginal']
    assert msn == other


@pytest.mark.parametrize(
    ('path', 'batch', 'epochs', 'width'),
    [(MSN[0], 128, 300, 768), (MSN[1], 64, 800, 384)],
)
def test_recipe(path, batch, epochs, width):
    cfg = load(path)
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.train_cfg.max_epochs == cfg.epochs == epochs
    warmup, learning_rate, weight_decay = cfg.param_scheduler
    assert (warmup.start_factor, warmup.begin, warmup.end) == (0.2, 0, 15)
    assert (learning_rate.begin, learning_rate.end, learning_rate.eta_min) == (15, epochs, 1e-6)
    assert learning_rate.T_max == 1.25 * epochs - 15
    assert (weight_decay.T_max, weight_decay.end, weight_decay.eta_min) == (
        1.25 * epochs,
        epochs,
        0.4,
    )
    assert all(schedule.convert_to_iter_based for schedule in cfg.param_scheduler)
    assert cfg.optim_wrapper.optimizer.lr == 1e-3
    assert cfg.optim_wrapper.optimizer.weight_decay == 0.04
    head = cfg.model.head
    assert (head.num_prototypes, head.prior_loss.loss_weight) == (1024, 1.0)
    assert cfg.model.patch_drop == 0.15 and cfg.model.neck.in_channels == width


@pytest.mark.parametrize(
    'path', [path for path in CONFIGS if re.match(r'configs/p?msn/.*_in1k\.py', path)]
)
def test_every_split_is_imagenet(path):
    cfg = load(path)
    loaders = [cfg.train_dataloader, cfg.val_dataloader]
    if '/benchmarks/' not in path:
        loaders.append(cfg.val_cfg.bank_dataloader)
    wanted = 'ImageNet' if '/benchmarks/' in path else 'ImageNet1K'
    assert {loader.dataset.type for loader in loaders} == {wanted}
    assert {loader.dataset.data_root for loader in loaders} == {'data/imagenet'}
    assert [loader.dataset.split for loader in loaders] == ['train', 'val', 'train'][: len(loaders)]


@pytest.mark.parametrize('path', BENCHMARKS)
def test_a_benchmark_starts_from_the_last_epoch_of_a_config_here(path):
    """The checkpoint is where training leaves it, of the same method and encoder."""
    method, encoder = re.match(r'configs/(p?msn)/benchmarks/(vit-[sb]16|r50)', path).groups()
    checkpoint = load(path).model.backbone.init_cfg.checkpoint
    name, epoch = re.fullmatch(r'work_dirs/(.+)/epoch_(\d+)\.pth', checkpoint).groups()
    assert name.startswith(f'{method}_{encoder}')
    source = f'configs/{method}/{name}.py'
    assert source in CONFIGS and load(source).train_cfg.max_epochs == int(epoch)
    assert '_in1k-pre_' not in path or name.endswith('_in1k')


@pytest.mark.parametrize('path', MSN + [pmsn(path) for path in MSN])
def test_every_encoder_has_a_linear_probe_and_fine_tuning(path):
    method, encoder = re.match(r'configs/(p?msn)/p?msn_(vit-[sb]16)', path).groups()
    name = path.rsplit('/')[-1].removesuffix('.py')
    tasks = [
        benchmark
        for benchmark in BENCHMARKS
        if f'/{name}/' in load(benchmark).model.backbone.init_cfg.checkpoint
    ]
    assert sorted('linear' in task for task in tasks) == [False, True]
    assert all(task.startswith(f'configs/{method}/benchmarks/{encoder}') for task in tasks)


def test_validation_is_left_out_as_the_docstring_says():
    cfg = load(pmsn(MSN[1]))
    options = ['val_cfg=None', 'val_dataloader=None', 'val_evaluator=None']
    apply_overrides(cfg, parse_overrides(options))
    assert cfg.val_cfg is cfg.val_dataloader is cfg.val_evaluator is None

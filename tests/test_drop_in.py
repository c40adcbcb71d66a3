"""The plugin in an existing MMPretrain setup: registries, and our checkpoint in stock classes."""

import subprocess
import sys

import pytest
import torch
from mmengine import Config
from mmengine.runner import Runner, load_checkpoint
from mmpretrain.registry import MODELS

from tests.smoke import ROOT, smoke_config

EVERY_CLASS = {
    'MODELS': [
        'MSN',
        'PMSNHead',
        'MSNNeck',
        'MSNViT',
        'TIMMViT',
        'TokenPool',
        'PriorMatchingLoss',
        'GlobalSimCLR',
        'VICReg',
        'PriorSwAV',
        'EmbeddingHead',
        'PriorSwAVHead',
        'NTXentLoss',
        'VICRegLoss',
        'Data2Vec',
        'Data2VecHead',
        'Data2VecViT',
        'MaskedRegressionLoss',
        'SeededMAE',
        'SeededMAEViT',
        'Sinkhorn',
        'PortableSyncBatchNorm',
        'LinearProbe',
        'MultiViewDataPreprocessor',
    ],
    'TASK_UTILS': ['UniformPrior', 'PowerLawPrior', 'EmpiricalPrior'],
    'DATASETS': [
        'INaturalist2018',
        'ImageFolder',
        'ScenesLT',
        'ImageNet1K',
        'ClevrCount',
        'ClevrDist',
        'KittiDist',
        'Places205CSV',
        'CIFAR100Archive',
        'PatternsLT',
        'DigitsLT',
        'LongTailSubset',
        'SeededClassBalancedDataset',
    ],
    'TRANSFORMS': [
        'LoadImage',
        'SeededMultiView',
        'SeededRandomResizedCrop',
        'SeededColorJitter',
        'SeededRandomMask',
        'SeededBlockMask',
    ],
    'DATA_SAMPLERS': [
        'EpochSampler',
        'ClassImbalancedBatchSampler',
        'PowerLawBatchSampler',
        'ResamplingBatchSampler',
    ],
    'HOOKS': [
        'TargetNetworkHook',
        'FitPriorHook',
        'SeededViewsHook',
        'UndecodableImagesHook',
        'DataSummaryHook',
        'SwAVScheduleHook',
        'DeferredRuntimeInfoHook',
        'SpeedHook',
        'ResumableCheckpointHook',
        'CollapseMonitorHook',
    ],
    'LOOPS': ['KNNValLoop', 'ResumableTrainLoop', 'StepBudgetTrainLoop'],
    'PARAM_SCHEDULERS': ['WarmupCosineParamScheduler'],
    'OPTIMIZERS': ['LayerwiseSGD'],
    'OPTIM_WRAPPERS': ['GroupClipOptimWrapper', 'GroupClipAmpOptimWrapper'],
    'OPTIM_WRAPPER_CONSTRUCTORS': [
        'MSNOptimWrapperConstructor',
        'LinearProbeOptimWrapperConstructor',
    ],
    'METRICS': ['ProbeAccuracy'],
    'RUNNERS': ['ShardedRunner'],
}

SCRIPT = """
import sys
from mmengine import Config
from mmengine.registry import init_default_scope
cfg = Config.fromfile(sys.argv[1])
init_default_scope(cfg.default_scope)
import mmpretrain.registry as registries
for registry, names in cfg.every_class.items():
    for name in names:
        assert getattr(registries, registry).get(name) is not None, name
"""


def test_one_line_in_any_config_makes_every_class_available(tmp_path):
    config = tmp_path / 'some_mmpretrain_config.py'
    config.write_text(
        "default_scope = 'mmpretrain'\n"
        "custom_imports = dict(imports=['mmssl_prior'], allow_failed_imports=False)\n"
        f'every_class = {EVERY_CLASS!r}\n'
    )
    result = subprocess.run(
        [sys.executable, '-c', SCRIPT, str(config)], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A checkpoint that the Runner saved after a step of the main config on embedded data."""
    cfg = smoke_config(
        'configs/pmsn/pmsn_vit-mini_patterns-lt.py', tmp_path_factory.mktemp('run'), {}
    )
    cfg.model.backbone = dict(type='MSNViT', arch='deit-tiny', img_size=32, patch_size=4)
    cfg.model.neck.in_channels = 192
    cfg.default_hooks.checkpoint.interval = 1
    # A learning rate and momentum that tell the trained network from the target.
    cfg.optim_wrapper.optimizer.lr = 0.1
    cfg.custom_hooks[0].update(momentum=0.5)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return f'{cfg.work_dir}/epoch_1.pth', runner.model


@pytest.mark.parametrize(
    ('prefix', 'source'), [('backbone.', 'backbone'), ('target_backbone.', 'target_backbone')]
)
def test_checkpoint_in_a_stock_vision_transformer(trained, prefix, source):
    path, model = trained
    stock = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(
                type='VisionTransformer',
                arch='deit-tiny',
                img_size=32,
                patch_size=4,
                init_cfg=dict(type='Pretrained', checkpoint=path, prefix=prefix),
            ),
            head=dict(type='VisionTransformerClsHead', num_classes=10, in_channels=192),
        )
    )
    stock.init_weights()
    ours = getattr(model, source)
    state = stock.backbone.state_dict()
    assert state.keys() == ours.state_dict().keys()
    for name, value in ours.state_dict().items():
        assert torch.equal(state[name], value), name
    stock.eval(), ours.eval()
    for size in (32, 48):
        x = torch.randn(2, 3, size, size)
        torch.testing.assert_close(stock.backbone(x)[0], ours(x)[0])


def test_the_two_networks_differ(trained):
    _, model = trained
    assert not torch.equal(model.backbone.pos_embed, model.target_backbone.pos_embed)


def test_checkpoint_loads_completely_where_it_came_from(trained):
    path, model = trained
    cfg = Config.fromfile(ROOT / 'configs/pmsn/pmsn_vit-mini_patterns-lt.py')
    cfg.model.backbone = dict(type='MSNViT', arch='deit-tiny', img_size=32, patch_size=4)
    cfg.model.neck.in_channels = 192
    fresh = MODELS.build(cfg.model)
    load_checkpoint(fresh, path, map_location='cpu', strict=True)
    for name, value in model.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value), name


def test_benchmarks_name_stock_classes_alone():
    paths = sorted((ROOT / 'configs').glob('*msn/benchmarks/*_in1k.py'))
    assert len(paths) >= 11
    script = (
        'import sys\nimport torch\nfrom mmengine import Config\nfrom mmpretrain.registry import *\n'
        'from mmengine.registry import init_default_scope\n'
        "init_default_scope('mmpretrain')\n"
        # Values to start from take most of the time, and are never used.
        'for name in vars(torch.nn.init):\n'
        "    if name.endswith('_') and not name.startswith('_'):\n"
        '        setattr(torch.nn.init, name, lambda tensor, *args, **kwargs: tensor)\n'
        'for path in sys.argv[1:]:\n'
        '    cfg = Config.fromfile(path)\n'
        '    model = MODELS.build(cfg.model)\n'
        "    assert 'custom_imports' not in cfg, path\n"
        "    assert not any(m.startswith('mmssl_prior') for m in sys.modules), path\n"
        "    assert all(type(m).__module__.startswith(('mmpretrain', 'mmcv', 'mmengine', "
        "'torch')) for m in model.modules()), path\n"
    )
    result = subprocess.run(
        [sys.executable, '-c', script, *map(str, paths)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope='module')
def trained_data2vec(tmp_path_factory):
    """A checkpoint that the Runner saved after a step of data2vec on embedded data."""
    cfg = smoke_config(
        'configs/data2vec/data2vec_vit-mini_patterns-lt.py', tmp_path_factory.mktemp('run'), {}
    )
    cfg.default_hooks.checkpoint.interval = 1
    # A learning rate and momentum that tell the trained network from the target.
    cfg.optim_wrapper.optimizer.lr = 0.1
    cfg.custom_hooks[0].update(momentum=0.5)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return f'{cfg.work_dir}/epoch_1.pth', runner.model


@pytest.mark.parametrize('source', ['backbone', 'target_backbone'])
def test_data2vec_checkpoint_in_a_stock_beit(trained_data2vec, source):
    path, model = trained_data2vec
    ours = getattr(model, source)
    stock = MODELS.build(
        dict(
            type='BEiTViT',
            arch=ours.arch_settings,
            img_size=32,
            patch_size=4,
            out_type='featmap',
            final_norm=True,
            use_rel_pos_bias=False,
            use_shared_rel_pos_bias=True,
            layer_scale_init_value=0.1,
            init_cfg=dict(type='Pretrained', checkpoint=path, prefix=f'{source}.'),
        )
    )
    stock.init_weights()
    state = stock.state_dict()
    assert state.keys() == ours.state_dict().keys()
    for name, value in ours.state_dict().items():
        assert torch.equal(state[name], value), name
    stock.eval(), ours.eval()
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(stock(x)[0], ours(x)[0])
    assert not torch.equal(model.backbone.cls_token, model.target_backbone.cls_token)

"""Unknown classes and arguments in a config, and no alarm on configs that are right."""

from pathlib import Path

import mmpretrain
import pytest
from mmengine.config import Config
from mmpretrain.registry import MODELS
from torch import nn

from mmssl_prior.config import check_arguments, load_config
from mmssl_prior.config.signatures import accepted_arguments
from mmssl_prior.errors import UserError

STOCK = Path(mmpretrain.__file__).parent / '.mim' / 'configs'


class Plain(nn.Module):
    def __init__(self, width=1, depth=1):
        super().__init__()


class Passing(Plain):
    def __init__(self, height=1, **kwargs):
        super().__init__(**kwargs)


class Twice(Passing):
    """Has no constructor of its own."""


class Third(Twice):
    def __init__(self, *args, colour='red', **rest):
        super().__init__(*args, depth=3, **rest)


class Reading(Plain):
    def __init__(self, **kwargs):
        self.extra = kwargs.pop('extra', None)
        super().__init__(**kwargs)


class Keeping(Plain):
    def __init__(self, **kwargs):
        super().__init__()
        self.kwargs = kwargs


@pytest.mark.parametrize(
    ('item', 'expected'),
    [
        (Plain, {'width', 'depth'}),
        (Passing, {'width', 'depth', 'height'}),
        (Twice, {'width', 'depth', 'height'}),
        (Third, {'width', 'depth', 'height', 'colour'}),
        (Reading, None),
        (Keeping, None),
        (dict, None),
    ],
)
def test_accepted_arguments(item, expected):
    assert accepted_arguments(item) == expected


@pytest.fixture
def model():
    """A registered class that swallows keyword arguments into its base class."""
    MODELS.register_module(name='ArgumentsPassing', module=Passing)
    yield dict(type='ArgumentsPassing', height=2, width=3)
    del MODELS.module_dict['ArgumentsPassing']


def config(model, **kwargs):
    return Config(dict(default_scope='mmpretrain', model=model, **kwargs))


def test_right_config_passes(model):
    check_arguments(config(model))


@pytest.mark.parametrize('place', ['', 'head', 'list'])
def test_unknown_argument_names_path_and_nearest(model, place):
    model['widht'] = 1
    if place == 'head':
        path, model = 'model.head', dict(type='ImageClassifier', head=model)
        model['backbone'] = dict(type='LeNet5')
    elif place == 'list':
        path, model = (
            r'model.data_preprocessor.0',
            dict(type='ImageClassifier', backbone=dict(type='LeNet5'), data_preprocessor=[model]),
        )
    else:
        path = 'model'
    message = rf"^{path}: Passing has no argument 'widht' \(did you mean 'width'\?\)$"
    with pytest.raises(UserError, match=message):
        check_arguments(config(model))


def test_class_instead_of_name():
    with pytest.raises(UserError, match=r"Passing has no argument 'x' \(it takes: depth, height"):
        check_arguments(config(dict(type=Passing, x=1)))


def test_unknown_type_names_nearest():
    with pytest.raises(UserError, match=r"^model.backbone: no class 'LeNet6'.*mean 'LeNet5'\?"):
        check_arguments(config(dict(type='ImageClassifier', backbone=dict(type='LeNet6'))))


@pytest.mark.parametrize(
    ('extra', 'message'),
    [
        (dict(train_cfg=dict(by_epoch=True, max_epoch=3)), "train_cfg: .*mean 'max_epochs'"),
        (dict(train_dataloader=dict(num_worker=3)), "train_dataloader: .*mean 'num_workers'"),
        (dict(optim_wrapper=dict(clip=1)), "optim_wrapper: OptimWrapper has no argument 'clip'"),
        (
            dict(custom_hooks=[dict(type='EMAHook', priority='LOW'), dict(type='EMAHok')]),
            r"custom_hooks\.1: no class 'EMAHok'.*mean 'EMAHook'",
        ),
        (
            dict(param_scheduler=[dict(type='LinearLR', convert_to_iter_based=True, ended=3)]),
            r"param_scheduler\.0: LinearLR has no argument 'ended' \(did you mean 'end'\?\)",
        ),
    ],
)
def test_what_the_runner_builds(model, extra, message):
    with pytest.raises(UserError, match=message):
        check_arguments(config(model, **extra))


def test_variables_of_the_file_are_not_checked(model):
    check_arguments(config(model, note=dict(type='NoSuchClass')))


OURS = Path(__file__).resolve().parents[2] / 'configs'


@pytest.mark.parametrize(
    'path',
    [path for path in sorted(OURS.rglob('*.py')) if '_base_' not in path.parts],
    ids=lambda path: path.stem,
)
def test_own_configs(path):
    check_arguments(load_config(path))


def stock(path):
    try:
        return load_config(path)
    except (UserError, ImportError):
        return None


# Methods of every kind that the house has; all of them build with what is installed.
STOCK_CONFIGS = [
    'resnet/resnet50_8xb32_in1k.py',
    'resnet/resnet50_8xb256-rsb-a1-600e_in1k.py',
    'resnet/resnet50_8xb8_cub.py',
    'vision_transformer/vit-base-p16_64xb64_in1k.py',
    'vision_transformer/vit-base-p16_8xb128-coslr-50e_in1k.py',
    'deit/deit-small_4xb256_in1k.py',
    'deit3/deit3-base-p16_64xb64_in1k.py',
    'swin_transformer/swin-tiny_16xb64_in1k.py',
    'convnext/convnext-tiny_32xb128_in1k.py',
    'efficientnet/efficientnet-b0_8xb32_in1k.py',
    'mobilenet_v3/mobilenet-v3-large_8xb128_in1k.py',
    'repvgg/repvgg-A0_8xb32_in1k.py',
    'simclr/simclr_resnet50_16xb256-coslr-200e_in1k.py',
    'simclr/benchmarks/resnet50_8xb512-linear-coslr-90e_in1k.py',
    'mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py',
    'mocov3/mocov3_vit-small-p16_16xb256-amp-coslr-300e_in1k.py',
    'byol/byol_resnet50_16xb256-coslr-200e_in1k.py',
    'swav/swav_resnet50_8xb32-mcrop-coslr-200e_in1k-224px-96px.py',
    'barlowtwins/barlowtwins_resnet50_8xb256-coslr-300e_in1k.py',
    'densecl/densecl_resnet50_8xb32-coslr-200e_in1k.py',
    'simsiam/simsiam_resnet50_8xb32-coslr-100e_in1k.py',
    'mae/mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py',
    'mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py',
    'mae/benchmarks/vit-base-p16_8xb2048-linear-coslr-90e_in1k.py',
    'beit/beit_beit-base-p16_8xb256-amp-coslr-300e_in1k.py',
    'simmim/simmim_swin-base-w6_8xb256-amp-coslr-100e_in1k-192px.py',
    'maskfeat/maskfeat_vit-base-p16_8xb256-amp-coslr-300e_in1k.py',
    'spark/spark_sparse-resnet50_8xb512-amp-coslr-800e_in1k.py',
    'lenet/lenet5_mnist.py',
    'arcface/resnet50-arcface_8xb32_inshop.py',
]


@pytest.mark.parametrize('name', STOCK_CONFIGS)
def test_no_false_alarm_on_stock_configs(name):
    path = STOCK / name
    if not path.is_file():
        pytest.skip('not in this version of mmpretrain')
    check_arguments(load_config(path))


def test_stock_configs_are_found():
    """Or the test above would skip everything."""
    assert sum((STOCK / name).is_file() for name in STOCK_CONFIGS) >= 20


@pytest.mark.slow
def test_alarms_over_all_stock_configs_are_the_known_ones():
    """Of some 540 configs, those with an alarm name classes or keys that do not exist here."""
    alarms = []
    for path in sorted(STOCK.rglob('*.py')):
        if '_base_' in path.parts:
            continue
        cfg = stock(path)
        if cfg is None or cfg.get('default_scope') != 'mmpretrain':
            continue
        try:
            check_arguments(cfg)
        except UserError as error:
            alarms.append(f'{path.name}: {error}')
    # Classes whose optional dependencies (multimodal, deepspeed ...) are absent stay unregistered.
    unexplained = [alarm for alarm in alarms if 'no class' not in alarm]
    assert len(unexplained) <= 5, '\n'.join(unexplained)
    assert len(alarms) < 60, '\n'.join(alarms)

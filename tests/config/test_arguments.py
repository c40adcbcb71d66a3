"""Unknown classes and arguments in a config, and no alarm on configs that are right."""

import inspect
import re
from pathlib import Path

import mmpretrain
import pytest
from mmengine.config import Config
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmengine.runner import Runner
from mmengine.runner.checkpoint import _load_checkpoint
from mmpretrain.registry import MODELS
from torch import nn

from mmssl_prior.config import apply_overrides, check_arguments, load_config, parse_overrides
from mmssl_prior.config.arguments import ENV_KEYS
from mmssl_prior.config.signatures import accepted_arguments
from mmssl_prior.errors import UserError
from tests.smoke import CONFIGS, ROOT

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


@pytest.mark.parametrize(
    ('old', 'new', 'path'),
    [
        (dict(type='PowerLawPrior', exponent=0.25), 'UniformPrior', 'model.head.prior'),
        (dict(type='AdamW', betas=(0.9, 0.95)), 'SGD', 'optim_wrapper.optimizer'),
        (dict(type='ImageNet', split='train'), 'CustomDataset', 'train_dataloader.dataset'),
    ],
)
def test_key_left_by_another_type_names_the_way_to_replace_the_dict(old, new, path):
    """And that way, as it is written, works."""
    tree = dict(default_scope='mmpretrain')
    *parents, last = path.split('.')
    node = tree
    for step in parents:
        node = node.setdefault(step, {})
    node[last] = dict(old)
    if path.startswith('model'):
        tree['model']['type'] = 'MSN'
        tree['model']['head']['type'] = 'PMSNHead'
    override = f'{path}.type={new}'
    cfg = Config(tree)
    apply_overrides(cfg, parse_overrides([override]))
    with pytest.raises(UserError, match=r'; if it belongs to another type, replace') as caught:
        check_arguments(cfg)
    remedy = re.search(r'or (\S+) to --cfg-options$', str(caught.value)).group(1)
    cfg = Config(tree)
    apply_overrides(cfg, parse_overrides([remedy, override]))
    check_arguments(cfg)
    for step in path.split('.'):
        cfg = cfg[step]
    assert cfg == dict(type=new)


def test_key_left_in_an_item_of_a_list():
    """MMEngine cannot replace such a dict from the command line."""
    schedules = [dict(type='LinearLR', qqq=3)]
    with pytest.raises(UserError, match=r'another type, change the list in the file$'):
        check_arguments(config(dict(type='LeNet5'), param_scheduler=schedules))


@pytest.mark.parametrize(
    ('extra', 'message'),
    [
        (
            dict(randomness=dict(sede=1)),
            r"^randomness: no key 'sede' is read \(did you mean 'seed'",
        ),
        (dict(env_cfg=dict(cudnn_benchmrk=True)), r"^env_cfg: .*did you mean 'cudnn_benchmark'"),
        (
            dict(env_cfg=dict(mp_cfg=dict(mp_start_methd='fork'))),
            r"^env_cfg\.mp_cfg: .*did you mean 'mp_start_method'",
        ),
    ],
)
def test_environment_of_the_runner(extra, message):
    with pytest.raises(UserError, match=message):
        check_arguments(config(dict(type='LeNet5'), **extra))
    check_arguments(config(dict(type='LeNet5'), runner_type='MyRunner', **extra))


def test_right_environment_of_the_runner():
    env = dict(
        cudnn_benchmark=False,
        mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
        dist_cfg=dict(backend='nccl', timeout=1800),
        resource_limit=4096,
    )
    randomness = dict(seed=1, deterministic=True, diff_rank_seed=False)
    check_arguments(config(dict(type='LeNet5'), env_cfg=env, randomness=randomness))
    check_arguments(config(dict(type='LeNet5'), env_cfg=None))


def test_environment_keys_are_those_that_the_runner_reads():
    """The Runner reads them by name, in a method: a new one of MMEngine must be known here."""
    source = inspect.getsource(Runner.setup_env)
    assert set(re.findall(r"env_cfg\.get\(\s*'(\w+)'", source)) == ENV_KEYS


def test_names_of_mmengine_that_are_not_public():
    """An upstream rename of what this package uses beside the documented interface."""
    assert inspect.isclass(_ParamScheduler)
    assert list(inspect.signature(_load_checkpoint).parameters)[:2] == ['filename', 'map_location']
    read = Config._file2dict.__code__
    assert 'filename' in read.co_varnames + read.co_cellvars
    assert {'seed', 'deterministic'} <= set(inspect.signature(Runner.set_randomness).parameters)


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


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: Path(path).stem)
def test_own_configs(path):
    check_arguments(load_config(ROOT / path))


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


MULTIMODAL = 'blip blip2 chinese_clip clip flamingo llava minigpt4 ofa otter'.split()
# Registered only where the optional dependencies of these families are installed.
ABSENT = (
    'AutoTokenizer BertModelCN BlipTokenizer CLIPProjection COCORetrieval COCOVQA '
    'Flickr30kCaption Flickr30kRetrieval GQA LlamaTokenizer MiniGPT4Dataset ModifiedResNet NoCaps '
    'OCRVQA RefCOCO'
).split()
# Path of the config (regular expression), and what its alarm says.
KNOWN_ALARMS = [
    (rf'({"|".join(MULTIMODAL)})/', rf"no class '({'|'.join(ABSENT)})'"),
    # The dataset of that name is absent for the same reason; the metric is found instead.
    (rf'({"|".join(MULTIMODAL)})/', "COCOCaption has no argument 'data_root'"),
    # Mistakes of the configs: neither file runs. The class is of mmcls 0.x; a loop with
    # a `type` is built without the Runner taking `by_epoch` out.
    ('resnet/resnet50_8xb32-cutmix_in1k.py', "no class 'BatchCutMix'"),
    (
        'maskfeat/benchmarks/vit-base-p16_8xb256-coslr-100e_in1k.py',
        "EpochBasedTrainLoop has no argument 'by_epoch'",
    ),
]


@pytest.mark.slow
def test_alarms_over_all_stock_configs_are_the_known_ones():
    unexplained, count = [], 0
    for path in sorted(STOCK.rglob('*.py')):
        if '_base_' in path.parts:
            continue
        cfg = stock(path)
        if cfg is None or cfg.get('default_scope') != 'mmpretrain':
            continue
        count += 1
        try:
            check_arguments(cfg)
        except UserError as error:
            name = path.relative_to(STOCK).as_posix()
            if not any(re.match(p, name) and re.search(m, str(error)) for p, m in KNOWN_ALARMS):
                unexplained.append(f'{name}: {error}')
    assert not unexplained, '\n'.join(unexplained)
    assert count > 400, f'only {count} configs were read'


def test_a_name_that_timm_does_not_know():
    def config(name):
        backbone = dict(type='TIMMBackbone', model_name=name)
        return Config(dict(default_scope='mmpretrain', model=dict(type='MSN', backbone=backbone)))

    check_arguments(config('resnet18'))
    check_arguments(config('vit_tiny_patch16_224.augreg_in21k'))
    check_arguments(config('hf-hub:someone/something'))
    message = r"^model\.backbone: timm .* has no model 'resnet17x' \(did you mean 'resnet\w+'"
    with pytest.raises(UserError, match=message):
        check_arguments(config('resnet17x'))

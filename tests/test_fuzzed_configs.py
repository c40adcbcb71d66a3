"""Whatever number stands in a config: a step of training, or one line that names the field."""

import copy
import gc
import itertools
import math
import re
import signal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mmengine import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmssl_prior.cli import train as cli
from mmssl_prior.cli.boundary import describe
from tests.smoke import smoke_config

CONFIG = 'configs/pmsn/pmsn_vit-mini_digits-lt.py'
FAMILIES = {
    'model': ('model',),
    'optimizer': ('optim_wrapper', 'param_scheduler'),
    'hooks': ('default_hooks', 'custom_hooks'),
    'data': ('train_dataloader',),
    'run': ('train_cfg', 'randomness', 'log_processor', 'env_cfg'),
}
# Huge is legal there, and takes its time and memory; workers are processes.
SIZES = re.compile(r'^model\.|num_views|scale|workers|radius')
NO_FUZZ = ('train_dataloader.num_workers',)
# As torch says it.
ALSO = {'lr': 'learning rate', 'betas': 'beta', 'eps': 'epsilon'}
SECONDS = 180  # of a busy machine; alone it takes one
NAMES = (f'fuzz-{number}' for number in itertools.count())


class Trained(Exception):
    """Raised behind the first step, which is all that is asked for."""


class StopBehindTheFirstStep(Hook):
    priority = 'LOWEST'

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        raise Trained


def plain(node):
    """Dicts and lists, which can be changed."""
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items()}
    return [plain(item) for item in node] if isinstance(node, (list, tuple)) else node


def numbers(node, path=''):
    """Path and value of every number."""
    if isinstance(node, (dict, list)):
        for key, item in node.items() if isinstance(node, dict) else enumerate(node):
            yield from numbers(item, f'{path}.{key}' if path else str(key))
    elif isinstance(node, (int, float)):
        yield path, node


def tiny(folder):
    cfg = smoke_config(CONFIG, folder, {})
    cfg.merge_from_dict(
        {
            'log_level': 'ERROR',
            'model.backbone.arch': dict(embed_dims=12, num_layers=1, feedforward_channels=24),
            'model.neck': dict(in_channels=12, hid_channels=16, out_channels=8),
            'model.head': dict(embed_dim=8, num_prototypes=4),
            'train_dataloader': dict(batch_size=4, dataset=dict(indices=8, serialize_data=False)),
            'default_hooks.undecodable_images.interval': 100,
            'default_hooks.runtime_info.type': 'DeferredRuntimeInfoHook',
            'optim_wrapper': dict(skip_nonfinite=0, accumulative_counts=1),
            'visualizer': dict(_delete_=True, type='Visualizer'),
        }
    )
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    return plain(cfg.to_dict())


@pytest.fixture(scope='module')
def base(tmp_path_factory):
    """The config as dicts; the slow things that a Runner writes are left out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runner, '_log_env', lambda self, env: None)
        patch.setattr(Runner, 'dump_config', lambda self: None)
        patch.setattr(Config, 'pretty_text', '')
        build = cli.build_runner

        def stopping(cfg):
            runner = build(cfg)
            runner.register_hook(StopBehindTheFirstStep())
            return runner

        patch.setattr(cli, 'build_runner', stopping)
        gc.freeze()
        yield tiny(tmp_path_factory.mktemp('fuzz'))
        gc.unfreeze()


def changed(base, path, value):
    config = copy.deepcopy(base)
    *parts, last = path.split('.')
    node = config
    for part in parts:
        node = node[int(part)] if isinstance(node, list) else node[part]
    node[int(last) if isinstance(node, list) else last] = value
    return Config({**config, 'experiment_name': next(NAMES)})


def train(cfg):
    """None after a step, or the line that tools/train.py would show; anything else is raised."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f'no step within {SECONDS} s'))
    signal.alarm(SECONDS)
    try:
        cli.check_arguments(cfg)
        cli.train(cfg)
    except Trained:
        return None
    except Exception as error:
        line = describe(error)
        if line is None:
            raise
        return line
    finally:
        signal.alarm(0)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return None


def check(base, path, value):
    line = train(changed(base, path, value))
    if line is None:
        return
    assert '\n' not in line
    names = [part for part in path.split('.') if not part.isdigit()]
    names = [*names[-2:], ALSO.get(names[-1], names[-1])]
    # A legal number may be too large or too small for the arithmetic.
    diverges = 'not finite' in line and not 1e-6 < abs(value) < 1e6
    assert diverges or any(name in line for name in names), f'{path}={value!r}: {line}'


def values(path, value):
    """What may be in a number's place."""
    sizes = isinstance(value, int) and SIZES.search(path)
    whole = [0, -1, 1, 2, 3, 64] + ([] if sizes else [10**9])
    real = [0.5, -0.5, 1.5, 1e-30, 1e30, -1e30, math.nan, math.inf, -math.inf, float(value)]
    other = [True, False, 'many', '3', '', None, [1]]
    drawn = st.integers(-4, 16) if isinstance(value, int) else st.floats(-2, 2)
    return st.sampled_from([*whole, *real, *other]) | drawn


def fields(base, family):
    found = [
        item
        for item in numbers(base)
        if item[0].split('.')[0] in FAMILIES[family] and item[0] not in NO_FUZZ
    ]
    return [st.tuples(st.just(path), values(path, value)) for path, value in found]


def fuzz(base, family, examples):
    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(fields(base, family)))
    def run(example):
        check(base, *example)

    run()


@pytest.mark.parametrize('family', FAMILIES)
def test_a_step_or_a_line_that_names_the_field(base, family):
    fuzz(base, family, 30)


def test_views_of_a_single_patch(base):
    check(base, 'train_dataloader.dataset.pipeline.0.transforms.0.0.scale', 4)


@pytest.mark.slow
@pytest.mark.parametrize('family', FAMILIES)
def test_many_steps_and_lines(base, family):
    fuzz(base, family, 400)

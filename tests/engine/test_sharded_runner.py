"""Parameters divided among ranks: the same training, and checkpoints of a whole model."""

import inspect
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmssl_prior.engine import ShardedRunner
from mmssl_prior.errors import UserError
from mmssl_prior.functional import whole_tensor
from tests.gloo import run_ranks
from tests.smoke import smoke_config

DTensor = pytest.importorskip('torch.distributed.tensor').DTensor
fsdp = pytest.importorskip('torch.distributed.fsdp')
RANKS, BATCH, STEPS = 2, 4, 2  # steps of an epoch; two epochs are trained
CONFIG = 'configs/pmsn/pmsn_vit-mini_patterns-lt.py'


def config(work_dir, sharded, **sharding):
    cfg = smoke_config(CONFIG, work_dir, {})
    cfg.train_dataloader.update(batch_size=BATCH)
    cfg.train_dataloader.dataset.indices = RANKS * BATCH * STEPS
    # Class tokens, whose last block is another function; gradients that are clipped.
    cfg.model.backbone.update(stem='patch', with_cls_token=True, out_type='cls_token')
    cfg.optim_wrapper.update(clip_grad=dict(max_norm=0.5))
    # With a small one AdamW divides by the size of a gradient that is nothing but rounding.
    cfg.optim_wrapper.optimizer.eps = 1e-2
    cfg.param_scheduler = None
    cfg.train_cfg.update(max_epochs=2)
    cfg.default_hooks.checkpoint.update(interval=1, save_last=True, max_keep_ckpts=-1)
    cfg.default_hooks.collapse.update(interval=1)
    for name in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg[name] = None
    cfg.experiment_name = Path(work_dir).name
    cfg.launcher, cfg.log_level = 'pytorch', 'ERROR'
    if sharded:
        cfg.runner_type, cfg.sharding = 'mmpretrain.ShardedRunner', sharding
    return cfg


class Watch(Hook):
    """Norm of the gradient and loss in each step."""

    priority = 'LOWEST'

    def __init__(self):
        self.seen = {}

    def after_train_epoch(self, runner):
        hub = runner.message_hub
        self.seen = {
            name: hub.get_scalar(f'train/{name}').data[0].tolist() for name in ('loss', 'grad_norm')
        }


class Poison(Hook):
    """Makes the second step's loss infinite."""

    def __init__(self, active):
        self.active = active

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 1 and self.active:
            update = runner.optim_wrapper.update_params
            runner.optim_wrapper.update_params = lambda loss: update(loss * float('inf'))


def train(cfg):
    runner, watch = RUNNERS.build(cfg), Watch()
    runner.register_hook(watch)
    runner.train()
    model = getattr(runner.model, 'module', runner.model)
    weights = {name: whole_tensor(value).clone() for name, value in model.state_dict().items()}
    return runner, weights, watch.seen


def resume(cfg, path):
    cfg.resume, cfg.load_from = True, str(path)
    return train(cfg)[1:]


def both(rank, folder):
    """Plain and sharded, then each from the other's checkpoint of the first epoch."""
    results = {}
    for name in ('plain', 'sharded'):
        runner, *results[name] = train(config(f'{folder}/{name}', name == 'sharded'))
        if name == 'sharded':
            assert isinstance(runner, ShardedRunner) and runner.sharded
            params = list(runner.model.parameters())
            assert all(isinstance(param, DTensor) for param in params)
            whole = sum(param.numel() for param in params)
            assert sum(param.to_local().numel() for param in params) < 0.52 * whole
            moments = runner.optim_wrapper.optimizer.state.values()
            assert all(isinstance(state['exp_avg_sq'], DTensor) for state in moments)
            assert runner.model.backbone._packs()
            # Evaluation runs on the shards.
            with torch.no_grad():
                image = torch.zeros(1, 3, 32, 32)
                runner.model.eval()
                assert runner.model.assign(image).shape == (1, 64)
                assert runner.model(image, mode='tensor').shape == (1, 96)
    for name, source in (('plain', 'sharded'), ('sharded', 'plain')):
        cfg = config(f'{folder}/{name}-after-{source}', name == 'sharded')
        results[f'{name} after {source}'] = resume(cfg, f'{folder}/{source}/epoch_1.pth')
    cfg = config(f'{folder}/recomputed', True)
    cfg.model.backbone.with_cp = True
    results['recomputed'] = train(cfg)[1:]
    kinds = [('bfloat16', None), ('sent as bfloat16', 'bfloat16')]
    for name, dtype in kinds if SENDS_BFLOAT16 else kinds[:1]:
        cfg = config(f'{folder}/{name}', True, param_dtype=dtype)
        cfg.optim_wrapper.dtype = 'bfloat16'
        results[name] = train(cfg)[1:]
    cfg = config(f'{folder}/not-finite', True)
    runner = RUNNERS.build(cfg)
    runner.register_hook(Poison(rank == 0))
    with pytest.raises(UserError, match='the loss is not finite at iteration 1|a gradient is not'):
        runner.train()
    # On one rank, and withheld on all.
    assert all(param.to_local().isfinite().all() for param in runner.model.parameters())
    for change, match in REFUSED:
        cfg = config(f'{folder}/refused', True)
        cfg.merge_from_dict(change)
        with pytest.raises(UserError, match=match):
            train(cfg)
    return results


POLICY = getattr(fsdp, 'MixedPrecisionPolicy', None)  # from torch 2.6 on
SENDS_BFLOAT16 = POLICY is not None and (
    'param_dtype_override_fn' in inspect.signature(POLICY).parameters
)
REFUSED = [
    (dict(sharding=dict(blocks=['Bottleneck'])), "MSN has no module of that class.*blocks=\\['B"),
    (dict(sharding=dict(blocks='Block')), "sharding.blocks must be a list.*'Block'"),
    (dict(sharding=dict(block=[])), r"sharding: unknown keys \['block'\]"),
    (dict(sharding=dict(param_dtype='float16')), "'bfloat16' or None, got 'float16'"),
    (
        dict(sharding=dict(param_dtype='bfloat16')),
        "set optim_wrapper.dtype='bfloat16'"
        if SENDS_BFLOAT16
        else 'param_dtype needs a newer torch',
    ),
    ({'model.micro_batch': 2}, 'model.micro_batch is not for ShardedRunner'),
]


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    if POLICY is None:
        pytest.skip('ShardedRunner needs torch 2.6')
    folder = tmp_path_factory.mktemp('sharded')
    return folder, run_ranks(RANKS, both, str(folder), timeout=900)


@pytest.mark.slow
@pytest.mark.parametrize(
    'name', ['sharded', 'plain after sharded', 'sharded after plain', 'recomputed']
)
def test_same_training(trained, name):
    """Losses, norms and weights; the norms are summed in another order, and clip every step."""
    _, results = trained
    for result in results:
        weights, seen = result[name]
        expected, scalars = result['plain']
        assert len(scalars['loss']) == 2 * STEPS and min(scalars['grad_norm']) > 0.5
        for scalar, values in scalars.items():
            torch.testing.assert_close(seen[scalar], values, rtol=1e-4, atol=0)
        assert weights.keys() == expected.keys()
        for key, value in expected.items():
            alike(weights[key], value, key, rtol=1e-5)


@pytest.mark.slow
def test_checkpoints_are_alike(trained):
    folder, _ = trained
    for epoch in (1, 2):
        plain, sharded = (
            torch.load(folder / name / f'epoch_{epoch}.pth', weights_only=False)
            for name in ('plain', 'sharded')
        )
        assert plain.keys() == sharded.keys()
        for part in ('state_dict', 'optimizer', 'param_schedulers', 'run_state'):
            alike(plain.get(part), sharded.get(part), part)
        assert plain['state_dict']._metadata == sharded['state_dict']._metadata


def alike(a, b, path, rtol=1e-4):
    """The same structure, types and shapes, and numbers up to rounding."""
    assert type(a) is type(b) or {type(a), type(b)} <= {dict}, path
    if isinstance(a, dict):
        assert list(a) == list(b), path
        for key in a:
            alike(a[key], b[key], f'{path}.{key}')
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b)):
            alike(x, y, f'{path}.{i}')
    elif isinstance(a, torch.Tensor):
        assert type(b) is torch.Tensor and (a.dtype, a.device) == (b.dtype, b.device), path
        explained = f'{path}: {{}}'.format
        torch.testing.assert_close(a, b, rtol=rtol, atol=1e-6, msg=explained)


@pytest.mark.slow
def test_bfloat16(trained):
    """Rounded before they are sent or after: the same; and near the exact training."""
    _, results = trained
    losses = {name: torch.tensor(result[1]['loss']) for name, result in results[0].items()}
    exact, here = losses['plain'], losses['bfloat16']
    assert ('sent as bfloat16' in losses) == SENDS_BFLOAT16
    torch.testing.assert_close(losses.get('sent as bfloat16', here), here, rtol=1e-4, atol=0)
    torch.testing.assert_close(here, exact, rtol=0.02, atol=0)
    assert not torch.equal(here, exact)


def test_alone_it_trains_unsharded(tmp_path):
    cfg = config(tmp_path / 'alone', True)
    cfg.launcher = 'none'
    runner, weights, seen = train(cfg)
    assert not runner.sharded and runner.iter == 2 * RANKS * STEPS
    assert not any(isinstance(value, DTensor) for value in weights.values())


def test_what_it_cannot_run_with(monkeypatch):
    runner = object.__new__(ShardedRunner)
    runner.sharded, runner.cfg = True, {}
    scaling = SimpleNamespace(loss_scaler=None)
    monkeypatch.setattr(Runner, 'build_optim_wrapper', lambda self, wrapper: wrapper)
    with pytest.raises(UserError, match='without a loss scaler, got SimpleNamespace'):
        runner.build_optim_wrapper(scaling)
    monkeypatch.setitem(sys.modules, 'torch.distributed.fsdp', ModuleType('fsdp'))
    with pytest.raises(UserError, match='needs torch 2.6 or newer, this is'):
        runner._shard(lambda module: True, None)

"""Logs and checks without a wait in every iteration: the same numbers, nothing moved by a NaN."""

import copy
import json
import math

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils._python_dispatch import TorchDispatchMode

from mmssl_prior.engine import GroupClipOptimWrapper
from mmssl_prior.errors import UserError
from tests.smoke import smoke_config

CONFIG = 'configs/pmsn/pmsn_vit-mini_digits-lt.py'
STEPS = 7


def build(tmp_path, hook=None, **changes):
    cfg = smoke_config(CONFIG, tmp_path, {})
    cfg.train_dataloader.batch_size = 4
    cfg.train_dataloader.dataset.indices = 4 * STEPS
    cfg.train_cfg.max_epochs = 2
    cfg.default_hooks.logger.interval = 3
    cfg.merge_from_dict(changes)
    cfg.experiment_name = f'{tmp_path.name}_{id(cfg)}'
    runner = Runner.from_cfg(cfg)
    if hook is not None:
        runner.register_hook(hook)
    return runner


class Reads(TorchDispatchMode):
    """Counts how often the host reads a tensor's value: item, bool, float, int."""

    def __init__(self):
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.number += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


class CountReads(Hook):
    """Reads within each iteration, from its start to the end of all other hooks."""

    priority = 'LOWEST'

    def __init__(self, reads, monkeypatch):
        self.reads, self.by_iteration = reads, []
        tolist = torch.Tensor.tolist

        def counted(x):
            reads.number += 1
            return tolist(x)

        monkeypatch.setattr(torch.Tensor, 'tolist', counted)
        for name in ('cpu', 'numpy', 'new_tensor'):
            # The last one makes the host wait to copy to a GPU.
            original = getattr(torch.Tensor, name)

            def counting(x, *args, original=original, **kwargs):
                reads.number += 1
                return original(x, *args, **kwargs)

            monkeypatch.setattr(torch.Tensor, name, counting)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.start = self.reads.number

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.by_iteration.append(self.reads.number - self.start)


LAYERWISE = dict(
    type='GroupClipOptimWrapper',
    constructor='DefaultOptimWrapperConstructor',
    optimizer=dict(type='LayerwiseSGD', lr=1e-3),
    _delete_=True,
)


@pytest.mark.parametrize('changes', [{}, dict(optim_wrapper=LAYERWISE)], ids=['adamw', 'layerwise'])
def test_nothing_is_read_between_the_logging_intervals(tmp_path, monkeypatch, changes):
    with Reads() as reads:
        count = CountReads(reads, monkeypatch)
        build(tmp_path, count, **changes).train()
    # After the first iteration, every third of an epoch, and at its end: one transfer. (The last
    # iteration writes a checkpoint, too.)
    assert count.by_iteration[:-1] == [1, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 1]


@pytest.mark.slow
def test_the_stock_hook_reads_every_term_in_every_iteration(tmp_path, monkeypatch):
    with Reads() as reads:
        count = CountReads(reads, monkeypatch)
        stock = {'default_hooks.runtime_info.type': 'RuntimeInfoHook'}
        build(tmp_path, count, **stock).train()
    assert min(count.by_iteration) >= 9, 'seven terms, the norm and two checks'


def history(runner):
    return {
        name: buffer.data[0].tolist()
        for name, buffer in runner.message_hub.log_scalars.items()
        if 'time' not in name
    }


def written(folder):
    (path,) = folder.rglob('scalars.json')
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [[(k, v) for k, v in row.items() if 'time' not in k and k != 'memory'] for row in rows]


def test_logs_and_weights_are_those_of_the_stock_hook(tmp_path):
    deferred, stock = build(tmp_path / 'a'), None
    deferred.train()
    stock = build(tmp_path / 'b', **{'default_hooks.runtime_info.type': 'RuntimeInfoHook'})
    stock.train()
    assert history(deferred) == history(stock)
    assert list(history(deferred)) == list(history(stock)), 'in this order in a line of the log'
    assert len(history(deferred)['train/grad_norm']) == 2 * STEPS
    assert written(tmp_path / 'a') == written(tmp_path / 'b')
    for key, value in stock.model.state_dict().items():
        assert torch.equal(deferred.model.state_dict()[key], value), key


class Poison(Hook):
    """Something is not finite in some iterations; states as they were before the first."""

    priority = 'LOWEST'

    def __init__(self, where, iterations=(4, 5)):
        self.where, self.handle, self.iterations = where, None, iterations

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iterations[0]:
            self.weights = copy.deepcopy(dict(runner.model.named_parameters()))
            self.moments = copy.deepcopy(runner.optim_wrapper.optimizer.state_dict()['state'])
        if runner.iter in self.iterations:
            if self.where == 'gradient':
                weight = getattr(runner.model, 'module', runner.model).neck.fc1.weight
                self.handle = weight.register_hook(lambda grad: grad * math.inf)
            else:
                data_batch['inputs'][1] = data_batch['inputs'][1] * math.nan

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.handle is not None:
            self.handle.remove()

    def check(self, runner):
        for name, param in runner.model.named_parameters():
            assert torch.equal(param, self.weights[name]), name
        state = runner.optim_wrapper.optimizer.state_dict()['state']
        for index, entries in self.moments.items():
            for name, value in entries.items():
                same = torch.equal(torch.as_tensor(state[index][name]), torch.as_tensor(value))
                assert same, (index, name)


SGD = {'optim_wrapper.optimizer': dict(_delete_=True, type='SGD', lr=0.1, momentum=0.9)}


@pytest.mark.parametrize(
    ('where', 'changes', 'message'),
    [
        ('loss', {}, r'loss is not finite at iteration 4 \(loss_ce=nan, loss_prior=nan'),
        ('gradient', {}, r'gradient is not finite at iteration 4 \(norm (inf|nan)\)'),
        pytest.param(
            'gradient',
            {'optim_wrapper.clip_grad': None},
            'gradient is not finite at iteration 4',
            marks=pytest.mark.slow,
        ),
        ('loss', SGD, 'loss is not finite at iteration 4'),
        pytest.param(
            'loss',
            {'optim_wrapper.accumulative_counts': 2},
            'loss is not finite at iteration 4',
            marks=pytest.mark.slow,
        ),
    ],
    ids=['loss', 'gradient', 'no clipping', 'no fused optimizer', 'accumulation'],
)
def test_what_is_not_finite_moves_nothing(tmp_path, where, changes, message):
    """Weights, target network and moments stay from there on, and the first iteration is named."""
    poison = Poison(where)
    runner = build(tmp_path, poison, **changes)
    with pytest.raises(UserError, match=message):
        runner.train()
    assert runner.iter == 5, 'the interval ends with the sixth iteration'
    poison.check(runner)


class Undo(Hook):
    """Weights, buffers and moments after some iterations as they were before them."""

    priority = 'LOWEST'

    def __init__(self, *iterations):
        self.iterations = iterations

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        optimizer = runner.optim_wrapper.optimizer
        self.state = copy.deepcopy((runner.model.state_dict(), optimizer.state_dict()['state']))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter in self.iterations:
            optimizer = runner.optim_wrapper.optimizer
            runner.model.load_state_dict(self.state[0])
            optimizer.load_state_dict({**optimizer.state_dict(), 'state': self.state[1]})


def equal_runs(ours, theirs):
    for name, value in theirs.model.state_dict().items():
        assert torch.equal(ours.model.state_dict()[name], value), name
    optimizer = theirs.optim_wrapper.optimizer.state_dict()
    for index, entries in optimizer['state'].items():
        state = ours.optim_wrapper.optimizer.state_dict()['state'][index]
        for name, value in entries.items():
            assert torch.equal(torch.as_tensor(state[name]), torch.as_tensor(value)), (index, name)
    lr = [run.optim_wrapper.get_lr() for run in (ours, theirs)]
    assert lr[0] == lr[1]


SKIP = {'optim_wrapper.skip_nonfinite': 2}


@pytest.mark.parametrize(
    ('where', 'changes'),
    [('gradient', {}), ('loss', {}), ('loss', SGD)],
    ids=['gradient', 'loss', 'no fused optimizer'],
)
def test_a_skipped_step_has_not_been(tmp_path, where, changes):
    """Behind it all is as without it; the learning rate has gone on."""
    skipping = build(tmp_path / 'a', Poison(where, (3, 8)), **SKIP, **changes)
    skipping.train()
    without = build(tmp_path / 'b', Undo(3, 8), **changes)
    without.train()
    equal_runs(skipping, without)
    assert history(skipping)['train/skipped_steps'] == [1, 2]
    rows = (dict(row) for row in written(tmp_path / 'a'))
    assert all(math.isfinite(value) for row in rows for value in row.values())
    (log,) = (tmp_path / 'a').rglob('*.log')
    (first, second) = (line for line in log.read_text().splitlines() if 'skipped,' in line)
    assert f'a {where} is not finite at iteration 3' in first.replace('the loss', 'a loss')
    assert 'iteration 8' in second and second.endswith('step skipped, 2 of at most 2')


def test_steps_are_skipped_up_to_a_limit_across_resumes(tmp_path):
    first = {'train_cfg.max_epochs': 1, 'default_hooks.checkpoint.save_last': True}
    build(tmp_path, Poison('loss', (3,)), **SKIP, **first).train()
    runner = build(tmp_path, Poison('loss', (8, 9)), **SKIP, resume=True)
    poison = Poison('loss', (9,))
    runner.register_hook(poison)
    with pytest.raises(
        UserError,
        match=r'loss is not finite at iteration 9 .*lower the learning rate.* \(2 steps were '
        r'skipped before, as many as optim_wrapper.skip_nonfinite allows\)$',
    ):
        runner.train()
    poison.check(runner)


def test_accumulated_gradients_are_one_step(tmp_path):
    changes = {'optim_wrapper.accumulative_counts': 2}
    skipping = build(tmp_path / 'a', Poison('loss', (2,)), **SKIP, **changes)
    skipping.train()
    assert history(skipping)['train/skipped_steps'] == [1, 1]
    assert skipping.message_hub.get_info('skipped_steps') == 1


@pytest.mark.parametrize('value', [-1, True, 1.5, math.nan, None, '2'])
def test_a_number_of_steps(value):
    with pytest.raises(UserError, match='skip_nonfinite must be an integer >= 0'):
        GroupClipOptimWrapper(skip_nonfinite=value)


def test_skipping_needs_the_hook_that_counts(tmp_path):
    stock = {'default_hooks.runtime_info.type': 'RuntimeInfoHook'}
    with pytest.raises(UserError, match='skip_nonfinite needs default_hooks.runtime_info='):
        build(tmp_path, **SKIP, **stock).train()


def test_an_optimizer_wrapper_that_cannot_withhold_stops_at_once(tmp_path):
    """MMEngine's own: the loss is checked in the iteration, as without the hook."""
    poison = Poison('loss')
    stock = dict(
        type='OptimWrapper',
        constructor='DefaultOptimWrapperConstructor',
        optimizer=dict(type='AdamW', lr=1e-3),
        clip_grad=None,
        _delete_=True,
    )
    runner = build(tmp_path, poison, optim_wrapper=stock)
    with pytest.raises(UserError, match='loss is not finite at iteration 4'):
        runner.train()
    assert runner.iter == 4
    poison.check(runner)


class SaveIn(Hook):
    """A checkpoint in the middle of an interval."""

    priority = 'LOWEST'

    def __init__(self, iteration):
        self.iteration = iteration

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == self.iteration:
            runner.save_checkpoint(runner.work_dir, 'between.pth', by_epoch=False)


def test_a_checkpoint_has_the_whole_history(tmp_path):
    build(tmp_path, SaveIn(4)).train()
    saved = torch.load(tmp_path / 'between.pth', weights_only=False)['message_hub']
    assert len(saved['log_scalars']['train/loss_ce'].data[0]) == 5


def test_no_checkpoint_is_written_behind_a_nan(tmp_path):
    runner = build(tmp_path, SaveIn(4))
    runner.register_hook(Poison('loss'))
    with pytest.raises(UserError, match='iteration 4'):
        runner.train()
    assert runner.iter == 4 and not (tmp_path / 'between.pth').exists()

"""A training that stops, however often and wherever, computes what it would have computed."""

import itertools
import math
import os
import random
import signal
from pathlib import Path

import pytest
import torch
from mmengine import Config
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner, find_latest_checkpoint

from mmssl_prior.engine import (
    GroupClipOptimWrapper,
    ResumableCheckpointHook,
    ResumableTrainLoop,
)
from mmssl_prior.errors import Preempted, UserError
from tests.engine.toy_folder import Numbers, runner_config
from tests.gloo import run_ranks

IMAGES, BATCH, EPOCHS = 14, 4, 3
STEPS = IMAGES // BATCH


class Killed(Exception):
    pass


class Watch(Hook):
    """Notes images and losses of each step; ends the process, as it were, behind a step."""

    priority = 'LOWEST'

    def __init__(self, stop=None, send=None):
        self.stop, self.send, self.seen = stop, send, {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        images = (data_batch['inputs'][:, 0] * IMAGES).round().int().tolist()
        self.seen[runner.iter] = (runner.epoch, batch_idx, images)
        if runner.iter + 1 == self.stop and self.send:
            os.kill(os.getpid(), self.send)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.stop and not self.send:
            raise Killed


def build(folder, batch_size=BATCH, minutes=1e-9, launcher='none', workers=0, **kwargs):
    torch.manual_seed(7)  # the weights, which the Runner does not make here
    config = runner_config(folder, IMAGES, batch_size, **kwargs)
    config['train_dataloader']['num_workers'] = workers
    config.update(
        train_cfg=kwargs.get('train_cfg', dict(type='ResumableTrainLoop', max_epochs=EPOCHS)),
        default_hooks=dict(
            checkpoint=dict(type='ResumableCheckpointHook', minutes=minutes, interval=1),
            logger=dict(type='LoggerHook', interval=1),
        ),
        custom_hooks=[dict(type='TargetNetworkHook')],
        param_scheduler=[dict(type='CosineAnnealingLR', T_max=20, by_epoch=False)],
        resume=True,
        log_level='ERROR',
        launcher=launcher,
    )
    if launcher != 'none':
        wrapper = dict(type='MMDistributedDataParallel', device_ids=None)
        config['cfg'] = Config(dict(model_wrapper_cfg=wrapper))
    return Runner(**config)


def run(folder, stops=(), send=None, **kwargs):
    """Start and stop behind each of these steps, then go on to the end; what came of it."""
    seen = {}
    for stop in [*stops, None]:
        runner, watch = build(folder, **kwargs), Watch(stop, send)
        runner.register_hook(watch)
        try:
            runner.train()
        except (Killed, Preempted):
            pass
        seen.update(watch.seen)
    return runner, seen


def weights(runner):
    model = getattr(runner.model, 'module', runner.model)
    moments = runner.optim_wrapper.optimizer.state_dict()['state']
    return {
        **model.state_dict(),
        **{f'{i}.{name}': value for i, state in moments.items() for name, value in state.items()},
        'lr': torch.tensor(runner.optim_wrapper.get_lr()['lr']),
    }


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


@pytest.fixture(autouse=True)
def signals_as_before():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    runner, seen = run(tmp_path_factory.mktemp('whole'))
    return weights(runner), seen, runner.message_hub.get_scalar('train/loss').data[0]


def test_stopped_behind_any_step(whole, tmp_path):
    """Batch statistics, dropout, noise of the data from the global generators: all to the bit."""
    for stop in range(1, STEPS * EPOCHS):
        runner, seen = run(tmp_path / str(stop), [stop])
        same(weights(runner), whole[0])
        assert seen == whole[1], stop
        # The toy counts its calls since it was built, and adds them.
        losses = runner.message_hub.get_scalar('train/loss').data[0]
        assert losses % 1 == pytest.approx(whole[2] % 1, abs=1e-5)


def test_stopped_again_and_again(whole, tmp_path):
    draw = random.Random(0)
    stops = list(itertools.accumulate(draw.randint(0, 2) for _ in range(6)))
    runner, seen = run(tmp_path, [stop for stop in stops if stop])
    same(weights(runner), whole[0])
    assert seen == whole[1]


def test_how_often_it_is_saved_changes_nothing(whole, tmp_path):
    """Between checkpoints steps are lost and done again: the same ones."""
    runner, _ = run(tmp_path, [2, 5, 7], minutes=None)
    same(weights(runner), whole[0])


def test_workers_change_nothing(tmp_path):
    """Their seeds, too, are those of the epoch."""
    runner, seen = run(tmp_path / 'whole', workers=2)
    resumed, again = run(tmp_path / 'resumed', [STEPS + 1, STEPS + 2], workers=2)
    assert seen == again
    assert int(resumed.model.bn.num_batches_tracked) == STEPS * EPOCHS
    del runner


def test_validation_that_was_due_is_made_up_for(tmp_path):
    ran = []

    class Validation(BaseLoop):
        def __init__(self, killed):
            self.killed = killed

        def run(self):
            if self.killed:
                raise Killed  # behind the checkpoint of the epoch
            ran.append(runner.epoch)

    for killed in (True, False):
        runner = build(tmp_path)
        runner._val_loop = Validation(killed)
        runner.model.val_step = None
        try:
            runner.train()
        except Killed:
            pass
    assert ran == [1, 2, 3]


@pytest.mark.parametrize('name', ['SIGTERM', 'SIGUSR1'])
def test_preempted(whole, tmp_path, name):
    """The step is finished and saved, and the process leaves with the status to come back."""
    runner, watch = build(tmp_path, minutes=None), Watch(5, getattr(signal, name))
    runner.register_hook(watch)
    with pytest.raises(Preempted, match=rf'{name}: checkpoint .*iter_5.pth holds all 5 iter') as e:
        runner.train()
    assert e.value.code == 75
    runner, seen = run(tmp_path, minutes=None)
    assert min(seen) == 5
    same(weights(runner), whole[0])


def test_files(tmp_path):
    """The last two writings are whole; after the end those within epochs are gone."""
    runner, watch = build(tmp_path), Watch(5)
    runner.register_hook(watch)
    with pytest.raises(Killed):
        runner.train()
    assert sorted(p.name for p in tmp_path.glob('*.pth')) == [
        'epoch_1.pth',
        'iter_4.pth',
        'iter_5.pth',
    ]
    saved = torch.load(tmp_path / 'iter_5.pth', weights_only=False)
    state = saved['run_state']
    assert state['position'] == dict(batches=2, batch_size=BATCH, ranks=1, images=8)
    assert set(state['versions']) == {'mmssl_prior', 'torch', 'numpy', 'mmengine', 'python'}
    assert set(saved) >= {'meta', 'state_dict', 'optimizer', 'param_schedulers', 'message_hub'}
    (tmp_path / '.writing-iter_6.pth').write_bytes(b'cut off')
    run(tmp_path)
    assert sorted(p.name for p in tmp_path.glob('*.pth')) == [
        f'epoch_{epoch}.pth' for epoch in range(1, EPOCHS + 1)
    ]
    assert not list(tmp_path.glob('.writing-*'))
    assert find_latest_checkpoint(str(tmp_path)).endswith('epoch_3.pth')


def test_disk_is_full(tmp_path, monkeypatch):
    runner, watch = build(tmp_path), Watch(2)
    runner.register_hook(watch)
    with pytest.raises(Killed):
        runner.train()
    runner = build(tmp_path)

    def full(out_dir, filename, *args, **kwargs):
        Path(out_dir, filename).write_bytes(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(runner, 'save_checkpoint', full)
    message = r'iter_3.pth could not be written \(No space left on device\); .*--resume'
    with pytest.raises(UserError, match=message):
        runner.train()
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file() and 'pth' in p.name) == [
        'iter_1.pth',
        'iter_2.pth',
    ]


def test_refusals(tmp_path):
    with pytest.raises(UserError, match='minutes must be positive or None, got 0'):
        ResumableCheckpointHook(minutes=0)
    with pytest.raises(UserError, match='counts in epochs and minutes'):
        ResumableCheckpointHook(by_epoch=False)
    with pytest.raises(UserError, match='ResumableTrainLoop counts in epochs'):
        ResumableTrainLoop(None, None, 1, by_epoch=False)
    runner = build(tmp_path, train_cfg=dict(by_epoch=True, max_epochs=1))
    with pytest.raises(UserError, match="set train_cfg.type='ResumableTrainLoop'"):
        runner.train()


def test_checkpoint_without_position_starts_its_epoch_again(tmp_path):
    """One of MMEngine's hook, as before: the epoch that follows it."""
    run(tmp_path, [4])
    path = tmp_path / 'epoch_1.pth'
    saved = torch.load(path, weights_only=False)
    del saved['run_state']
    torch.save(saved, path)
    (tmp_path / 'last_checkpoint').write_text(str(path))
    _, seen = run(tmp_path)
    assert min(seen) == STEPS and seen[STEPS][:2] == (1, 0)


def unequal(folder, images, round_up):
    """Batches of 4 of which the last of a rank may be smaller, or missing."""
    config = runner_config(folder, images, 4, launcher='pytorch')
    config['train_dataloader'].update(drop_last=False)
    config['train_dataloader']['sampler'].update(round_up=round_up)
    wrapper = dict(type='MMDistributedDataParallel', device_ids=None)
    config.update(
        train_cfg=dict(type='ResumableTrainLoop', max_epochs=1),
        custom_hooks=[dict(type='TargetNetworkHook')],
        cfg=Config(dict(model_wrapper_cfg=wrapper)),
        log_level='ERROR',
    )
    runner, watch = Runner(**config), Watch()
    runner.register_hook(watch)
    runner.train()
    return [len(images) for _, _, images in watch.seen.values()]


def skip_alike(rank):
    """A loss that is infinite on one rank only, where its gradient is finite."""
    weight = torch.nn.Parameter(torch.ones(2))
    wrapper = GroupClipOptimWrapper(
        optimizer=torch.optim.SGD([weight], lr=1.0), skip_nonfinite=1, clip_grad=dict(max_norm=9)
    )
    wrapper.defer()
    for bad in (True, False):
        with wrapper.optim_context(torch.nn.Module()):
            loss = weight.sum() + (math.inf if bad and rank == 1 else 0)
        wrapper.update_params(loss)
        assert float(wrapper.withheld_step) == bad
        assert weight.tolist() == ([1, 1] if bad else [0, 0])


def on_two_ranks(rank, folder):
    folder = Path(folder)
    skip_alike(rank)
    with pytest.raises(UserError, match=r'the ranks have \[2, 1\] batches; .*round_up=True'):
        unequal(folder / 'refused', 9, round_up=False)
    assert unequal(folder / 'rounded', 13, round_up=True) == [4, 3]
    assert unequal(folder / 'unequal', 13, round_up=False) == [4, 3 - rank]
    whole, _ = run(folder / 'whole', batch_size=2, launcher='pytorch')
    resumed, _ = run(folder / 'resumed', [2, 4, 5], batch_size=2, launcher='pytorch')
    same(weights(whole), weights(resumed))
    runner, watch = build(folder / 'left', batch_size=2, launcher='pytorch'), Watch(4)
    # Only one of them is told.
    watch.send = signal.SIGTERM if rank == 1 else None
    watch.stop = 4 if rank == 1 else None
    runner.register_hook(watch)
    try:
        runner.train()
        raise AssertionError('not preempted')
    except Preempted:
        pass
    return {step: images for step, (_, _, images) in watch.seen.items()}


def test_two_ranks_and_then_one(tmp_path):
    """To the bit on as many ranks; on fewer, no image of the epoch comes twice."""
    seen = run_ranks(2, on_two_ranks, str(tmp_path))
    assert len(seen[0]) == len(seen[1])
    steps = max(seen[0]) + 1
    assert steps in (4, 5), 'agreed one step late at most'
    runner, later = run(tmp_path / 'left', batch_size=BATCH)
    assert min(later) == steps
    begun = (steps // STEPS) * STEPS
    before = [image for part in seen for step in range(begun, steps) for image in part[step]]
    after = [image for step in later.values() if step[0] == 1 for image in step[2]]
    assert len(set(before + after)) == len(before + after) > IMAGES - 2 - BATCH
    assert runner.epoch == EPOCHS
    assert isinstance(runner.train_loop, ResumableTrainLoop)
    assert runner.iter == runner.max_iters


def test_numbers_are_images():
    assert len(Numbers(IMAGES)) == IMAGES

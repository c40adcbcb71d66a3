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


def build(
    folder,
    batch_size=BATCH,
    minutes=1e-9,
    launcher='none',
    workers=0,
    images=IMAGES,
    schedule=None,
    checkpoint=None,
    **kwargs,
):
    torch.manual_seed(7)  # the weights, which the Runner does not make here
    config = runner_config(folder, images, batch_size, **kwargs)
    config['train_dataloader']['num_workers'] = workers
    config.update(
        train_cfg=kwargs.get('train_cfg', dict(type='ResumableTrainLoop', max_epochs=EPOCHS)),
        default_hooks=dict(
            checkpoint={
                **dict(type='ResumableCheckpointHook', minutes=minutes, interval=1),
                **(checkpoint or {}),
            },
            logger=dict(type='LoggerHook', interval=1),
        ),
        custom_hooks=[dict(type='TargetNetworkHook')],
        param_scheduler=[schedule or dict(type='CosineAnnealingLR', T_max=20, by_epoch=False)],
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
        runner = build(folder, **kwargs)
        seen.update(start(runner, stop, send).seen)
    return runner, seen


def start(runner, stop=None, send=None):
    """Train to the end, or to this step."""
    watch = Watch(stop, send)
    runner.register_hook(watch)
    try:
        runner.train()
    except (Killed, Preempted):
        pass
    return watch


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
            if self.killed == runner.epoch:
                raise Killed  # behind the checkpoint of the epoch
            ran.append(runner.epoch)

    # Behind the first epoch, and behind the last.
    for killed in (1, EPOCHS, None):
        runner = build(tmp_path)
        runner._val_loop = Validation(killed)
        runner.model.val_step = None
        try:
            runner.train()
        except Killed:
            pass
    assert ran == [1, 2, 3]


@pytest.mark.parametrize(('minutes', 'written'), [(None, []), (60, ['iter_9.pth'])])
def test_checkpoint_before_a_validation(tmp_path, minutes, written):
    """There for a signal in the validation; not where no checkpoints within epochs are wanted."""

    class Validation(BaseLoop):
        def __init__(self):
            pass

        def run(self):
            runner.call_hook('before_val')

    checkpoint = dict(save_last=False, interval=9)
    runner = build(tmp_path, minutes=minutes, checkpoint=checkpoint)
    runner._val_loop = Validation()
    runner.model.val_step = None
    runner.train()
    assert sorted(path.name for path in tmp_path.glob('*.pth'))[-1:] == written


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
    assert state['position'] == dict(
        batches=2, batch_size=BATCH, ranks=1, images=8, dataset=IMAGES, seed=0
    )
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


class Scored(BaseLoop):
    """A validation with the next of these scores."""

    dataloader = [None]

    def __init__(self, runner, scores):
        self._runner, self.scores = runner, iter(scores)

    def run(self):
        score = next(self.scores)
        self.runner.call_hook('after_val_epoch', metrics=dict(score=score, other=-score))


@pytest.mark.parametrize('best', ['score', ['score', 'other']])
def test_best_one_is_whole_before_the_other_is_deleted(tmp_path, monkeypatch, best):
    """With a full disk in the last of three validations."""
    runner = build(tmp_path, checkpoint=dict(save_best=best, rule='greater'))
    runner._val_loop = Scored(runner, [1, 0, 2])
    runner.model.val_step = None
    save, seen = runner.save_checkpoint, []

    def full(out_dir, filename, *args, **kwargs):
        seen.append((filename, {path.name for path in tmp_path.glob('best_score*.pth')}))
        save(out_dir, filename, *args, **kwargs)
        if filename.endswith('best_score_epoch_3.pth'):
            Path(out_dir, filename).write_bytes(b'half')
            raise OSError(28, 'No space left on device')

    monkeypatch.setattr(runner, 'save_checkpoint', full)
    with pytest.raises(UserError, match=r'best_score_epoch_3.pth could not be written \(No space'):
        runner.train()
    assert seen[-1] == ('.writing-best_score_epoch_3.pth', {'best_score_epoch_1.pth'})
    assert [path.name for path in tmp_path.glob('*best_score*')] == ['best_score_epoch_1.pth']
    others = {path.name for path in tmp_path.glob('best_other*')}
    assert others == ({'best_other_epoch_2.pth'} if 'other' in best else set())
    monkeypatch.setattr(runner, 'save_checkpoint', save)
    resumed = build(tmp_path, checkpoint=dict(save_best=best, rule='greater'))
    resumed._val_loop = Scored(resumed, [2])
    resumed.model.val_step = None
    resumed.train()
    assert [path.name for path in tmp_path.glob('*best_score*')] == ['best_score_epoch_3.pth']
    assert set(torch.load(tmp_path / 'best_score_epoch_3.pth', weights_only=False)) >= {
        'state_dict'
    }


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


def test_seed_that_nobody_named(tmp_path):
    """Each process draws one; a resume takes that of the first, and its order."""
    _, seen = run(tmp_path, [STEPS + 1, STEPS + 2], randomness=dict(seed=None))
    images = [image for epoch, _, batch in seen.values() if epoch == 1 for image in batch]
    assert len(set(images)) == len(images) == STEPS * BATCH


class Labelled(Numbers):
    def get_gt_labels(self):
        return [index % 5 for index in range(self.length)]


def by_classes(folder, batch_size=BATCH):
    runner = build(folder, batch_size, randomness=dict(seed=None), images=40)
    loader = runner._train_dataloader
    del loader['drop_last']
    loader['dataset'] = Labelled(40)
    loader['batch_sampler'] = dict(type='ClassImbalancedBatchSampler', num_classes_per_batch=3)
    return runner


def test_classes_are_chosen_as_before(tmp_path, monkeypatch):
    """By their number in the training; other batches are others, and that is said."""
    first = by_classes(tmp_path / 'a')
    whole = start(first).seen
    runner = by_classes(tmp_path / 'b')
    runner._randomness_cfg['seed'] = runner._seed = first.seed
    part = start(runner, 13).seen
    resumed = start(by_classes(tmp_path / 'b')).seen
    assert min(resumed) == 13 and part | resumed == whole
    said = []
    start(by_classes(tmp_path / 'c'), 13)
    runner = by_classes(tmp_path / 'c', 8)
    monkeypatch.setattr(runner.logger, 'warning', lambda text, *_: said.append(text))
    seen = start(runner).seen
    assert seen[13][:2] == (1, 2) and 'the sampler chooses other images' in str(said)


def test_checkpoint_of_the_last_step_stays_where_none_follows(tmp_path):
    run(tmp_path, checkpoint=dict(save_last=False, interval=9))
    names = [path.name for path in tmp_path.glob('*.pth')]
    assert names == [f'iter_{STEPS * EPOCHS}.pth']
    assert find_latest_checkpoint(str(tmp_path)).endswith(names[0])


def cosine(**kwargs):
    """A schedule over the whole training, in iterations."""
    return dict(
        type='WarmupCosineParamScheduler',
        param_name='lr',
        eta_min=0.0,
        stretch=1.0,
        convert_to_iter_based=True,
        **kwargs,
    )


def test_other_batches_move_the_end(tmp_path):
    """Of the schedule and of the accumulation too; and once more, resumed with the same ones."""
    ends = []
    for stops in ([4], [6], []):
        size = BATCH if stops == [4] else 2
        runner = build(tmp_path, size, schedule=cosine())
        start(runner, *stops)
        wrapper, (schedule,) = runner.optim_wrapper, runner.param_schedulers
        ends.append((runner.max_iters, schedule.end, wrapper._max_counts))
    # An epoch and a step of 4 images, then 10 images of this epoch and all of the last by twos.
    assert ends == [(9, 9, 9)] + 2 * [(4 + 5 + 7, 4 + 5 + 7, 4 + 5 + 7)]
    assert runner.iter == 16
    assert wrapper.get_lr()['lr'][0] < 1e-3


@pytest.mark.parametrize(
    ('loop', 'epochs'),
    # The plan of 12 steps was 4 epochs, and would now be 3.
    [({}, EPOCHS), (dict(type='StepBudgetTrainLoop', steps=12, epochs=(2, 5)), 4)],
)
def test_folder_that_grew_within_an_epoch(tmp_path, monkeypatch, loop, epochs):
    """The order is another; as many images are left out, and that some may come again is said."""
    loop = dict(train_cfg=loop) if loop else {}
    start(build(tmp_path, schedule=cosine(), **loop), 4)
    said = []
    runner = build(tmp_path, images=IMAGES + 4, schedule=cosine(), **loop)
    monkeypatch.setattr(runner.logger, 'warning', lambda text, *_: said.append(text))
    watch = start(runner)
    assert 'has seen 4 images: the data have 18 images and had 14, so that some' in str(said)
    assert [step[:2] for step in watch.seen.values()][:4] == [(1, 1), (1, 2), (1, 3), (2, 0)]
    assert runner.iter == runner.max_iters == STEPS + 4 * (epochs - 1)
    assert runner.param_schedulers[0].end == runner.max_iters and runner.epoch == epochs


class Told(BaseLoop):
    """A validation that the signal comes just before."""

    def __init__(self, runner, send=None):
        self._runner, self.send = runner, send

    def run(self):
        if self.send:
            os.kill(os.getpid(), self.send)
        self.runner.call_hook('before_val')
        raise AssertionError('not preempted')


def test_told_before_a_validation(tmp_path):
    """The checkpoint that was resumed is named where none was written since."""
    for resumed in (False, True):
        runner = build(tmp_path, minutes=None)
        runner._val_loop = Told(runner, signal.SIGUSR1)
        # As the command line does.
        runner._load_from = str(tmp_path / 'epoch_1.pth') if resumed else None
        runner.model.val_step = None
        with pytest.raises(Preempted, match='SIGUSR1: checkpoint .*epoch_1.pth holds all 3 iter'):
            runner.train()


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
    # One is told behind the last step: the other does not go into the validation without it.
    runner = build(folder / 'val', batch_size=2, launcher='pytorch', minutes=None)
    runner._val_loop = Told(runner, signal.SIGTERM if rank == 1 else None)
    runner.model.module.val_step = None
    with pytest.raises(Preempted, match='holds all 3 iterations'):
        runner.train()
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

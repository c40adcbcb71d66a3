"""When the target starts, moves and is kept, through the Runner."""

import copy

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmssl_prior.engine.hooks import FitPriorHook, ema_momentum
from mmssl_prior.errors import UserError
from tests.smoke import smoke_config

CONFIG = 'configs/pmsn/pmsn_vit-mini_digits-lt.py'


class Watch(Hook):
    """States of the model around each iteration."""

    priority = 'LOWEST'

    def __init__(self):
        self.before, self.after, self.momenta = [], [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.before.append(copy.deepcopy(runner.model.state_dict()))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.after.append(copy.deepcopy(runner.model.state_dict()))
        self.momenta.append(
            runner.message_hub.get_scalar('train/target_momentum').current()
            if 'train/target_momentum' in runner.message_hub.log_scalars
            else None
        )


def build(tmp_path, steps=3, epochs=1, **changes):
    cfg = smoke_config(CONFIG, tmp_path, {})
    cfg.train_dataloader.batch_size = 4
    cfg.train_dataloader.dataset.indices = 4 * steps
    cfg.train_cfg.max_epochs = epochs
    cfg.default_hooks.checkpoint.interval = 1
    cfg.merge_from_dict(changes)
    cfg.experiment_name = f'{tmp_path.name}_{len(changes)}_{epochs}_{id(cfg)}'
    runner = Runner.from_cfg(cfg)
    watch = Watch()
    runner.register_hook(watch)
    return runner, watch


def target_keys(state):
    return [k for k in state if k.startswith('target_') and 'running' not in k and 'num_' not in k]


def test_target_starts_as_a_copy_and_moves_after_each_step(tmp_path):
    runner, watch = build(tmp_path)
    runner.train()
    first = watch.before[0]
    for key in target_keys(first):
        assert torch.equal(first[key], first[key.removeprefix('target_')]), key
    for i, (before, after) in enumerate(zip(watch.before, watch.after)):
        momentum = ema_momentum(i / 3, 0.97, 1.0, 'linear')
        assert watch.momenta[i] == pytest.approx(momentum)
        for key in target_keys(before):
            online = after[key.removeprefix('target_')]
            torch.testing.assert_close(
                after[key], momentum * before[key] + (1 - momentum) * online, rtol=1e-5, atol=1e-7
            )


def test_with_accumulation_it_moves_after_real_steps_only(tmp_path):
    runner, watch = build(tmp_path, steps=4, **{'optim_wrapper.accumulative_counts': 2})
    runner.train()
    moved = [
        any(not torch.equal(b[k], a[k]) for k in target_keys(b))
        for b, a in zip(watch.before, watch.after)
    ]
    assert moved == [False, True, False, True]


def test_a_loaded_start_copies_the_weights_that_were_loaded(tmp_path):
    runner, _ = build(tmp_path / 'a')
    runner.train()
    again, watch = build(tmp_path / 'b', load_from=str(tmp_path / 'a/epoch_1.pth'))
    again.train()
    first, saved = watch.before[0], runner.model.state_dict()
    for key in target_keys(first):
        assert torch.equal(first[key], saved[key.removeprefix('target_')]), key


def test_resume_at_an_epoch_continues_to_the_bit(tmp_path):
    """Weights, target, views and patches of a run that was cut in two are those of one run."""
    whole, _ = build(tmp_path / 'whole', epochs=3)
    whole.train()
    half, _ = build(tmp_path / 'cut', epochs=3)
    half.register_hook(StopAfter(2))
    with pytest.raises(KeyboardInterrupt):
        half.train()
    rest, watch = build(tmp_path / 'cut', epochs=3, resume=True)
    rest.train()
    assert len(watch.before) == 3, 'only the last epoch was run again'
    first = watch.before[0]
    assert any(
        not torch.equal(first[k], first[k.removeprefix('target_')]) for k in target_keys(first)
    ), 'the target was restored, not copied'
    for key, value in whole.model.state_dict().items():
        assert torch.equal(rest.model.state_dict()[key], value), key


class StopAfter(Hook):
    def __init__(self, epochs):
        self.epochs = epochs

    def before_train_epoch(self, runner):
        if runner.epoch == self.epochs:
            raise KeyboardInterrupt


def test_a_model_without_target_is_named(tmp_path):
    runner, _ = build(tmp_path)
    runner.model = torch.nn.Linear(1, 1)
    with pytest.raises(UserError, match='Linear has no sync_target'):
        runner.call_hook('before_train')


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tmp_path):
    runner, watch = build(tmp_path, steps=2, epochs=2)
    runner.register_hook(PoisonSecondEpoch(), priority='LOWEST')
    with pytest.raises(UserError, match='not finite at iteration 3 .*loss_ce=nan'):
        runner.train()
    assert len(watch.after) == 3
    saved = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)['state_dict']
    assert all(bool(torch.isfinite(v).all()) for v in saved.values())
    for key, value in runner.model.state_dict().items():
        if 'running' not in key and 'num_batches' not in key and key != 'head.prototypes':
            assert torch.equal(value, watch.after[-1][key]), f'{key} was left as it was'


class PoisonSecondEpoch(Hook):
    """A prototype turns NaN before the last iteration."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 3:
            runner.model.head.prototypes.data[0, 0] = float('nan')


def test_empirical_prior_counts_the_training_labels(tmp_path):
    runner, _ = build(
        tmp_path, steps=5, **{'model.head.prior': dict(_delete_=True, type='EmpiricalPrior')}
    )
    runner.train()
    labels = torch.tensor(runner.train_dataloader.dataset.get_gt_labels())
    counts = torch.bincount(labels)
    counts = counts[counts > 0].sort(descending=True).values
    prior = runner.model.head.log_prior.exp()
    assert float(prior.sum()) == pytest.approx(1)
    assert float(prior[0] / prior[-1]) == pytest.approx(float(counts[0] / counts[-1]), rel=1e-5)


def test_empirical_prior_without_labels(tmp_path):
    runner, _ = build(tmp_path, **{'model.head.prior': dict(_delete_=True, type='EmpiricalPrior')})
    dataset = runner.train_dataloader.dataset
    dataset.get_data_info = lambda i: dict(img=None)
    with pytest.raises(UserError, match='labelled training set'):
        FitPriorHook().before_train(runner)


def test_scalars_reach_tensorboard(tmp_path):
    runner, _ = build(
        tmp_path,
        steps=2,
        **{
            'visualizer.vis_backends': [dict(type='TensorboardVisBackend')],
            'default_hooks.logger.interval': 1,
        },
    )
    runner.train()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (events,) = tmp_path.rglob('events.out*')
    log = EventAccumulator(str(events)).Reload()
    assert {'loss_ce', 'prior_kl', 'p_bar_entropy', 'target_prototypes', 'target_max'} <= {
        tag.split('/')[-1] for tag in log.Tags()['scalars']
    }

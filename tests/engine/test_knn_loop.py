import json
from pathlib import Path

import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmssl_prior.errors import UserError
from tests.evaluation.toy import ToyFeatures, ToyImages, reference_features, reference_knn
from tests.gloo import run_ranks

QUERIES, BANK = dict(size=17, seed=1, noise=4.0), dict(size=23, seed=2, noise=4.0)


@HOOKS.register_module()
class SpyHook(Hook):
    """Records the model around each validation, and the order of calls."""

    def __init__(self):
        self.calls, self.before, self.after, self.metrics = [], [], [], []

    @staticmethod
    def _snapshot(runner):
        modes = [module.training for module in runner.model.modules()]
        return modes, {k: v.clone() for k, v in runner.model.state_dict().items()}

    def before_val(self, runner):
        self.calls.append('before_val')
        self.before.append(self._snapshot(runner))

    def before_val_epoch(self, runner):
        self.calls.append('before_val_epoch')

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        self.calls.append('before_val_iter')

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.calls.append('after_val_iter')

    def after_val_epoch(self, runner, metrics=None):
        self.calls.append('after_val_epoch')
        self.metrics.append(metrics)

    def after_val(self, runner):
        self.calls.append('after_val')
        self.after.append(self._snapshot(runner))


def _loader_cfg(**dataset):
    return dict(
        batch_size=5,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=default_collate,
        dataset=dict(type='ToyImages', **dataset),
    )


def _config(work_dir, queries=QUERIES, bank=BANK, launcher='none', evaluator=(), **loop):
    return dict(
        model=dict(type='ToyFeatures'),
        work_dir=str(work_dir),
        train_dataloader=_loader_cfg(size=20),
        train_cfg=dict(by_epoch=True, max_epochs=5, val_interval=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        val_dataloader=_loader_cfg(**queries),
        val_cfg=dict(
            type='KNNValLoop',
            bank_dataloader=_loader_cfg(**bank),
            **dict(dict(k=[3, 7], temperature=0.1), **loop),
        ),
        val_evaluator=list(evaluator),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', save_best='knn_top1'),
            logger=dict(type='LoggerHook', interval=1),
        ),
        custom_hooks=[dict(type='SpyHook')],
        model_wrapper_cfg=dict(type='MMDistributedDataParallel', device_ids=None),
        launcher=launcher,
        experiment_name=Path(work_dir).name,
        randomness=dict(seed=0),
        default_scope='mmpretrain',
        log_level='WARNING',
    )


def _run(config, action='train'):
    if action == 'val':
        # MMEngine prepares it in before_train alone.
        del config['default_hooks']['checkpoint']['save_best']
    wrapper = config.pop('model_wrapper_cfg')
    runner = Runner(**config, cfg=dict(model_wrapper_cfg=wrapper))
    getattr(runner, action)()
    return runner, next(hook for hook in runner.hooks if isinstance(hook, SpyHook))


def _reference(model):
    queries, bank = ToyImages(**QUERIES), ToyImages(**BANK)
    accuracy = {}
    for k in (3, 7):
        predictions = reference_knn(
            reference_features(model, queries), reference_features(model, bank), bank.labels, k, 0.1
        )
        accuracy[k] = float((predictions == queries.labels).double().mean())
    return {'knn_top1': accuracy[3], 'knn_top1_k3': accuracy[3], 'knn_top1_k7': accuracy[7]}


def test_validates_during_training_and_leaves_the_model_as_it_was(tmp_path):
    runner, spy = _run(_config(tmp_path))
    batches = ['before_val_iter', 'after_val_iter'] * 4
    assert (
        spy.calls
        == ['before_val', 'before_val_epoch', *batches, 'after_val_epoch', 'after_val'] * 3
    ), 'after epochs 2 and 4, and after the last one'
    for (modes, state), (modes_after, state_after) in zip(spy.before, spy.after):
        assert all(modes) and modes_after == modes
        assert state['bn.num_batches_tracked'] > 0
        torch.testing.assert_close(state_after, state, rtol=0, atol=0)

    expected = _reference(runner.model)
    assert spy.metrics[-1] == pytest.approx(expected)
    assert 0 < expected['knn_top1_k3'] < 1 and expected['knn_top1_k3'] != expected['knn_top1_k7']


def test_metrics_are_logged_and_choose_the_best_checkpoint(tmp_path):
    _, spy = _run(_config(tmp_path))
    lines = next(tmp_path.glob('*/vis_data/scalars.json')).read_text().splitlines()
    logged = [line for line in map(json.loads, lines) if 'knn_top1' in line]
    assert [line['step'] for line in logged] == [2, 4, 5]
    for line, metrics in zip(logged, spy.metrics):
        assert {key: line[key] for key in metrics} == pytest.approx(metrics)
    scores = [metrics['knn_top1'] for metrics in spy.metrics]
    best = [2, 4, 5][scores.index(max(scores))]
    assert [path.name for path in tmp_path.glob('best*')] == [f'best_knn_top1_epoch_{best}.pth']


def _validate(rank, work_dir, queries, bank):
    config = _config(work_dir, queries, bank, launcher='pytorch')
    runner, spy = _run(config, 'val')
    return spy.metrics, type(runner.model).__name__, [m.training for m in runner.model.modules()]


@pytest.mark.parametrize('world_size', [2, 3])
def test_ranks_together_give_the_metrics_of_one_process(tmp_path, world_size):
    _, spy = _run(_config(tmp_path / 'single'), 'val')
    assert spy.metrics[0] == pytest.approx(_reference(ToyFeatures()))
    ranks = run_ranks(world_size, _validate, str(tmp_path / 'ranks'), QUERIES, BANK)
    for metrics, wrapper, modes in ranks:
        assert wrapper == 'MMDistributedDataParallel' and all(modes)
        assert metrics == spy.metrics


def test_one_k_alone(tmp_path):
    _, spy = _run(_config(tmp_path, k=7), 'val')
    assert set(spy.metrics[0]) == {'knn_top1', 'knn_top1_k7'}


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(queries=dict(labelled=False)), 'val_dataloader is not labelled'),
        (dict(bank=dict(labelled=False)), 'val_cfg.bank_dataloader is not labelled'),
        (dict(bank=dict(size=0)), 'val_cfg.bank_dataloader is empty'),
        (dict(k=[10, 24]), r'k=\[10, 24\] must name numbers from 1 to 23'),
        (dict(k=[]), r'k=\[\] must name'),
        (dict(temperature=0), 'temperature must be positive'),
        (dict(evaluator=[dict(type='Accuracy')]), 'set val_evaluator'),
    ],
)
def test_bad_input_is_found_before_the_first_training_step(tmp_path, change, message):
    with pytest.raises(UserError, match=f'KNNValLoop.* {message}'):
        _run(_config(tmp_path, **change))
    assert not list(tmp_path.glob('*.pth'))

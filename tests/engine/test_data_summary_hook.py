"""A summary before training that leaves no trace in it."""

import os
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.runner import EpochBasedTrainLoop, Runner
from PIL import Image

from mmssl_prior.datasets import ImageFolder
from mmssl_prior.engine.hooks import DataSummaryHook
from mmssl_prior.engine.hooks.data_summary_hook import _plan, _resumed
from mmssl_prior.engine.step_probe import StepTime, untouched
from mmssl_prior.errors import UserError
from tests.engine.toy_folder import Numbers, ToyMSN, runner_config
from tests.gloo import run_ranks

HOOKS = [dict(type='TargetNetworkHook'), dict(type='UndecodableImagesHook')]


def lines_of(work_dir):
    (log,) = work_dir.glob('*/*.log')
    return log.read_text()


def train(work_dir, *hooks, **kwargs):
    torch.manual_seed(0)
    runner = Runner(**runner_config(work_dir, 11, custom_hooks=[*HOOKS, *hooks], **kwargs))
    runner.train()
    return runner


def state_of(runner):
    """All that the hook could have changed."""
    generators = torch.get_rng_state(), np.random.get_state()[1], random.getstate()
    return runner.model.state_dict(), generators, runner.model.momenta


def test_training_is_the_same_to_the_bit(tmp_path):
    """Weights, buffers and generators, with and without the hook."""
    plain, seen = (train(tmp_path / name, *hooks) for name, hooks in
                   (('plain', ()), ('seen', (dict(type='DataSummaryHook'),))))  # fmt: skip
    (weights, generators, momenta), (others, their, moments) = map(state_of, (plain, seen))
    for name, value in weights.items():
        assert torch.equal(value, others[name]), name
    assert torch.equal(generators[0], their[0]) and np.array_equal(generators[1], their[1])
    assert generators[2] == their[2] and momenta == moments
    assert plain.model.calls == seen.model.calls, 'plain attributes too'
    text = lines_of(tmp_path / 'seen')
    for line in (
        'images    11 (Numbers)',
        'training  3 epochs of 5 steps = 15 steps, batch 2',
        'left over  1 images that fill no batch',
        'is the bottleneck',
        'measured on 2 images',
        '11 images for 3 prototypes, fewer than 10 each: --cfg-options model.head.num_prototypes=2',
        '11 images are few',
    ):
        assert ' '.join(line.split()) in ' '.join(text.split()), line


class Labelled(Numbers):
    """Two classes."""

    def get_gt_labels(self):
        return [i % 2 for i in range(len(self))]


def test_a_sampler_of_classes(tmp_path):
    """Its loader has no batch size; loop, hook and measurement ask the sampler."""
    arguments = runner_config(tmp_path, 11, custom_hooks=[*HOOKS, dict(type='DataSummaryHook')])
    arguments['train_dataloader'].update(
        dataset=Labelled(11),
        drop_last=False,
        batch_sampler=dict(type='ClassImbalancedBatchSampler', num_classes_per_batch=2),
    )
    runner = Runner(**arguments)
    runner.train()
    assert runner.train_dataloader.batch_size is None and runner.iter == 15
    text = ' '.join(lines_of(tmp_path).split())
    assert 'training 3 epochs of 5 steps = 15 steps, batch 2' in text
    assert 'measured on 2 images' in text
    assert 'left over' not in text and 'repeated' not in text


def test_what_a_step_leaves_is_put_back():
    model, state = ToyMSN(), torch.get_rng_state()
    model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ZeroDivisionError), untouched(model):
        model.train()
        model.set_step(0, 0)
        loss = model(torch.rand(4, 4), mode='loss')['loss']
        torch.autograd.grad(loss, [model.line.weight])
        model.bn.running_mean = torch.ones(4)
        assert not torch.equal(model.bn.running_var, before['bn.running_var'])
        random.random(), np.random.rand()
        raise ZeroDivisionError
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (model.training, model.step, model.calls) == (False, None, 0)
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_resumed_training_has_one_line(tmp_path):
    train(tmp_path / 'run', train_cfg=dict(type='StepBudgetTrainLoop', max_epochs=1))
    train(
        tmp_path / 'run2',
        dict(type='DataSummaryHook'),
        resume=True,
        load_from=str(tmp_path / 'run' / 'epoch_1.pth'),
        train_cfg=dict(type='StepBudgetTrainLoop', max_epochs=3),
    )
    text = lines_of(tmp_path / 'run2')
    assert 'Resumed after epoch 1 of 3, at step 5: 2 epochs of 5 steps remain, 10 steps' in text
    assert 'Before training' not in text


def test_resumed_with_fewer_images_or_by_steps():
    """An epoch is done after 8 steps, and has 4 now."""
    loop = object.__new__(EpochBasedTrainLoop)
    loop.dataloader = range(4)
    runner = SimpleNamespace(train_loop=loop, epoch=1, max_epochs=2, iter=8, max_iters=8)
    assert _resumed(runner).endswith('1 of 2, at step 8: 1 epochs of 4 steps remain, 4 steps')
    by_steps = SimpleNamespace(train_loop=SimpleNamespace(), iter=8, max_iters=12)
    assert _resumed(by_steps) == 'Resumed at step 8 of 12: 4 steps remain'


def test_a_folder(tmp_path):
    """What was found and skipped, in the log's block."""
    root = tmp_path / 'images'
    root.mkdir()
    for i in range(5):
        Image.new('RGB', (20 + i, 10)).save(root / f'{i}.jpg')
    (root / 'bad.png').write_bytes(b'no image')
    (root / os.fsdecode(b'zero\xe9.png')).write_bytes(b'')
    (root / 'a.txt').write_text('x')
    block = dict(DataSummaryHook()._data(ImageFolder(str(root)), seed=0))
    assert block['folder'].rstrip('/') == str(root)
    assert block['images'] == '6 (ImageFolder)'
    assert block['sizes'] == '20x10 smallest, 22x10 median, 24x10 largest'
    assert block['formats'] == '5 jpeg (of 5 headers read)'
    assert block['skipped'] == f'1 .txt, 1 of zero bytes ({root}/zero\\xe9.png)'
    assert block['unreadable'].startswith('1 of 6 headers, replaced in training: ')
    assert block['unreadable'].endswith('bad.png (not an image of a known format)')
    ''.join(block.values()).encode()
    assert 'sizes' not in dict(DataSummaryHook(max_headers=0)._data(ImageFolder(str(root)), 0))


def test_what_is_slower_is_named():
    slow = StepTime(image=0.1, images=8, loading=2.0, compute=0.5, workers=4, overlap=True)
    assert (slow.bottleneck, slow.step) == ('data loading', 2.0)
    alone = slow._replace(loading=0.25, overlap=False)
    assert (alone.bottleneck, alone.step) == ('compute', 0.75)


def test_a_bad_argument():
    with pytest.raises(UserError, match='max_headers must be an integer >= 0, got -1'):
        DataSummaryHook(max_headers=-1)


def on_rank(rank, folder):
    """Two ranks: the weights with and without the hook, and what the plan says."""
    states = []
    for hooks in ((), (dict(type='DataSummaryHook'),)):
        runner = train_ranks(f'{folder}/{len(states)}', hooks)
        states.append({k: v.clone() for k, v in runner.model.module.state_dict().items()})
    return states, dict(_plan(runner))


def train_ranks(work_dir, hooks):
    torch.manual_seed(0)
    arguments = runner_config(
        work_dir,
        11,
        custom_hooks=[*HOOKS, *hooks],
        launcher='pytorch',
        cfg=dict(
            model_wrapper_cfg=dict(
                type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False
            )
        ),
    )
    runner = Runner(**arguments)
    runner.train()
    return runner


def test_two_ranks_measure_together(tmp_path):
    for states, plan in run_ranks(2, on_rank, str(tmp_path)):
        for name, value in states[0].items():
            assert torch.equal(value, states[1][name]), name
        assert plan['training'].endswith('batch 2 x 2 ranks = 4')
        assert plan['training'].startswith('4 epochs of 3 steps = 12 steps')
        assert 'repeated' in plan

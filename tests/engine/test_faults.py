"""A training that the system starves ends with one line that names the setting to change."""

import os
import re
import signal

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmssl_prior.engine.faults import faults_explained
from mmssl_prior.errors import UserError
from tests.engine.toy_folder import runner_config
from tests.gloo import run_ranks

GPU = 'CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation'
CPU = '[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can not allocate memory'


@pytest.mark.parametrize(
    ('error', 'message'),
    [
        (
            torch.cuda.OutOfMemoryError(GPU),
            r'the GPU is out of memory \(CUDA out of memory. Tried to allocate 2.00 GiB.\); lower '
            r'train_dataloader.batch_size \(now 8 on each GPU\), .*with_cp=True',
        ),
        (RuntimeError(CPU), r'the machine is out of memory .*batch_size \(now 8\) or num_workers'),
        (MemoryError(), r'the machine is out of memory \(MemoryError\)'),
        (
            RuntimeError('DataLoader worker (pid(s) 12, 13) exited unexpectedly'),
            r'DataLoader worker \(pid\(s\) 12, 13\) exited unexpectedly: mostly the system',
        ),
        (ConnectionResetError('reset'), r'a DataLoader worker is gone \(reset\): mostly'),
    ],
)
def test_line(error, message, monkeypatch):
    monkeypatch.setattr('signal.signal', lambda *_: None)
    with pytest.raises(UserError, match=message) as raised:
        with faults_explained(8, 2):
            raise error
    assert '\n' not in str(raised.value)


def test_other_errors_are_bugs():
    with pytest.raises(RuntimeError, match='^shapes$') as raised:
        with faults_explained(8, 2):
            raise RuntimeError('shapes')
    assert not isinstance(raised.value, UserError)


class KillWorker(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        os.kill(runner.train_dataloader._iterator._workers[0].pid, signal.SIGKILL)


def train_with_a_killed_worker(rank, folder):
    config = runner_config(folder, 40)
    config['train_dataloader'].update(num_workers=1, persistent_workers=True)
    config.update(
        custom_hooks=[dict(type='TargetNetworkHook')],
        train_cfg=dict(type='ResumableTrainLoop', max_epochs=1),
        log_level='ERROR',
    )
    runner = Runner(**config)
    runner.register_hook(KillWorker())
    with pytest.raises(UserError) as raised:
        runner.train()
    return str(raised.value)


def test_worker_is_killed(tmp_path):
    """In a process of its own: torch tells of the dead child for as long as the loader lives."""
    [line] = run_ranks(1, train_with_a_killed_worker, str(tmp_path))
    assert re.search(r'DataLoader worker .*mostly the system.*num_workers \(now 1\)', line), line

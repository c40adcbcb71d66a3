"""A preemption that the whole process group is told of: the workers stay until it is saved."""

import multiprocessing
import os
import pickle
import signal
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmssl_prior.engine.steadfast_workers import outlive_preemptions
from mmssl_prior.errors import Preempted
from tests.engine.toy_folder import Numbers, runner_config
from tests.gloo import run_ranks

needs_senders = pytest.mark.skipif(
    not hasattr(signal, 'sigwaitinfo'), reason='the system does not name the sender of a signal'
)


def tell(pids, number):
    """From a process that is not their parent, as a batch system does."""
    teller = multiprocessing.get_context('fork').Process(target=send, args=(pids, number))
    teller.start()
    teller.join()


def send(pids, number):
    for pid in pids:
        os.kill(pid, number)


class TellAll(Hook):
    """In the first step all of the workers, only later the training: the worst order there is."""

    def __init__(self, number):
        self.number = number

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        workers = [child.pid for child in multiprocessing.active_children()]
        assert len(workers) == 2
        if runner.iter == 0:
            tell(workers, self.number)
        if runner.iter == 6:
            tell([os.getpid()], self.number)


def train(rank, folder, name):
    config = runner_config(folder, 40)
    config['train_dataloader'].update(num_workers=2)
    config.update(
        custom_hooks=[dict(type='TargetNetworkHook')],
        default_hooks=dict(checkpoint=dict(type='ResumableCheckpointHook', minutes=None)),
        train_cfg=dict(type='ResumableTrainLoop', max_epochs=1),
        log_level='ERROR',
    )
    runner = Runner(**config)
    # Before the checkpoint's own hook, which then finds the signal.
    runner.register_hook(TellAll(getattr(signal, name)), priority='HIGHEST')
    with pytest.raises(Preempted) as left:
        runner.train()
    return str(left.value)


@needs_senders
@pytest.mark.parametrize('name', ['SIGTERM', 'SIGUSR1'])
def test_the_step_is_finished_and_saved(tmp_path, name):
    [said] = run_ranks(1, train, str(tmp_path), name)
    assert f'{name}: checkpoint ' in said and 'holds all 7 iterations' in said
    assert (tmp_path / 'iter_7.pth').is_file()


def seeded(worker):
    Path(os.environ['OF_THE_WORKER'], str(worker)).touch()


@needs_senders
@pytest.mark.parametrize('start', ['fork', 'spawn'])
def test_their_own_process_ends_them(tmp_path, monkeypatch, start):
    """As it does where one hangs; and what they begin with otherwise is kept."""
    monkeypatch.setenv('OF_THE_WORKER', str(tmp_path))
    loader = DataLoader(
        Numbers(9), num_workers=1, worker_init_fn=seeded, multiprocessing_context=start
    )
    for _ in range(2):  # once is enough
        outlive_preemptions(loader)
    assert pickle.loads(pickle.dumps(loader.worker_init_fn)).inner is seeded
    batches = iter(loader)
    next(batches)
    [worker] = batches._workers
    # torch would tell of it at every child that ends from here on.
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        worker.terminate()
        worker.join(300)
    finally:
        signal.signal(signal.SIGCHLD, handler)
    assert worker.exitcode == 0 and (tmp_path / '0').exists()

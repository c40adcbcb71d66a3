"""Real trainings, killed at random moments and started again: the weights are the same bits."""

import os
import random
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch

from tests.cli.test_train import environment
from tests.smoke import ROOT

CONFIG = 'configs/pmsn/pmsn_vit-mini_patterns-lt.py'
OPTIONS = [
    'train_dataloader.batch_size=8',
    '+train_dataloader.dataset.indices=100',
    'train_cfg.max_epochs=4',
    'train_cfg.val_interval=9',
    # Seconds, and each costs a write to the disk: enough of them to be hit in the middle.
    'default_hooks.checkpoint.minutes=0.005',
    'default_hooks.checkpoint.interval=1',
]
KILLS = 5

pytestmark = pytest.mark.slow


def start(folder, ranks, **variables):
    if ranks == 1 and not variables:
        command = [sys.executable, 'tools/train.py', CONFIG]
    else:
        command = ['bash', 'tools/dist_train.sh', CONFIG, str(ranks)]
    command += ['--work-dir', str(folder), '--resume', '--cfg-options', *OPTIONS]
    folder.mkdir(exist_ok=True)
    with open(folder / 'output', 'ab') as output:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(PYTHON=sys.executable, CUDA_VISIBLE_DEVICES='-1', **variables),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def trains(folder, process, done):
    """Waits until this start of the training has made steps beyond those done."""
    while process.poll() is None:
        if names(folder) - done:
            return True
        time.sleep(0.02)
    return False


def names(folder):
    return {path.name for path in folder.glob('*.pth')}


def descendants(pid):
    found = [pid]
    for parent in found:
        listed = subprocess.run(['ps', '-o', 'pid=', '--ppid', str(parent)], capture_output=True)
        found += [int(child) for child in listed.stdout.split()]
    return found


def kill(process):
    """As when the power goes: launcher, ranks and workers, without a word."""
    for pid in descendants(process.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()


def weights(folder):
    saved = torch.load(folder / 'epoch_4.pth', weights_only=False)
    moments = saved['optimizer']['state']
    return {
        **saved['state_dict'],
        **{f'{i}.{name}': value for i, state in moments.items() for name, value in state.items()},
    }


@pytest.mark.parametrize('ranks', [1, 2])
def test_killed_again_and_again(tmp_path, ranks):
    whole = start(tmp_path / 'whole', ranks)
    assert whole.wait() == 0, (tmp_path / 'whole' / 'output').read_text()[-2000:]
    folder, draw, kills = tmp_path / 'killed', random.Random(ranks), 0
    while True:
        done = names(folder)
        process = start(folder, ranks)
        if kills < KILLS and trains(folder, process, done):
            time.sleep(draw.uniform(0, 1))
            if process.poll() is None:
                kill(process)
                kills += 1
                continue
        assert process.wait() == 0, (folder / 'output').read_text()[-2000:]
        break
    assert kills >= 2, 'the training was over too soon to be killed'
    same_weights(tmp_path / 'whole', folder)


def same_weights(whole, folder):
    expected, found = weights(whole), weights(folder)
    assert expected.keys() == found.keys()
    for name in expected:
        assert torch.equal(torch.as_tensor(expected[name]), torch.as_tensor(found[name])), name


def start_nodes(folder):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    common = dict(NNODES='2', MASTER_ADDR='127.0.0.1', PORT=str(port))
    return [start(folder, 1, NODE_RANK=str(rank), **common) for rank in range(2)]


def test_node_is_lost(tmp_path):
    """The other one ends, with the traceback of what it waited for; both go on from there."""
    whole = start(tmp_path / 'whole', 2)
    assert whole.wait() == 0
    folder = tmp_path / 'lost'
    first, second = start_nodes(folder)
    assert trains(folder, first, set())
    kill(second)
    assert first.wait(300) not in (0, None)
    assert 'Traceback' in (folder / 'output').read_text()
    for node in start_nodes(folder):
        assert node.wait() == 0, (folder / 'output').read_text()[-2000:]
    same_weights(tmp_path / 'whole', folder)


@pytest.mark.parametrize('told', ['process', 'group'])
@pytest.mark.parametrize('ranks', [1, 2])
def test_told_to_make_room(tmp_path, ranks, told):
    """The launcher, or the process, gets SIGTERM, or all of its group, loaders too: status 75."""
    process = start(tmp_path, ranks)
    assert trains(tmp_path, process, set())
    if told == 'group':
        os.killpg(process.pid, signal.SIGTERM)
    else:
        process.send_signal(signal.SIGTERM)
    assert process.wait(600) == 75, (tmp_path / 'output').read_text()[-2000:]
    said = (tmp_path / 'output').read_text()
    assert 'Traceback' not in said and 'SIGTERM: checkpoint ' in said
    script = 'tools/train.py' if ranks == 1 else 'tools/dist_train.sh'
    assert script in said.split('to continue: ')[1]
    last = (tmp_path / 'last_checkpoint').read_text()
    assert torch.load(last, weights_only=False)['meta']['iter'] >= 1

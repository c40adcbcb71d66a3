"""``tools/dist_train.sh`` and ``dist_test.sh`` with real ranks on CPU."""

import ast
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmssl_prior.cli import distributed
from mmssl_prior.errors import UserError

from .test_test import TEST_CONFIG, expected_metrics, save_checkpoint
from .test_train import CONFIG, ROOT, environment, train


def launch(*arguments, script='dist_train.sh', **extra):
    return subprocess.run(
        ['bash', f'tools/{script}', *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(PYTHON=sys.executable, CUDA_VISIBLE_DEVICES='-1', **extra),
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def write_rank(folder):
    return ['--cfg-options', 'custom_hooks.0.type=WriteRank', f'+custom_hooks.0.folder={folder}']


def numbers(path):
    """The weights that a rank left behind."""
    return {key: torch.tensor(value) for key, value in ast.literal_eval(path.read_text())}


def test_two_ranks_agree_and_equal_one_process(tmp_path):
    """Two ranks of 2 images are one process with batches of 4: the loss is a mean."""
    ranks = launch(CONFIG, 2, '--work-dir', tmp_path / 'two', *write_rank(tmp_path))
    assert ranks.returncode == 0, ranks.stderr
    one = train(tmp_path / 'one', *write_rank(tmp_path), 'train_dataloader.batch_size=4')
    assert one.returncode == 0, one.stderr
    first, second = (numbers(tmp_path / f'rank{rank}of2.txt') for rank in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    torch.testing.assert_close(first, numbers(tmp_path / 'rank0of1.txt'), rtol=1e-5, atol=1e-6)


def test_two_ranks_evaluate_as_one_process(tmp_path):
    """Seven samples on two ranks: the one that fills up the second batch does not count."""
    checkpoint = save_checkpoint(tmp_path)
    flags = ['--work-dir', tmp_path / 'run', '--out', tmp_path / 'metrics.json']
    result = launch(TEST_CONFIG, checkpoint, 2, *flags, script='dist_test.sh')
    assert result.returncode == 0, result.stderr
    assert result.stdout.count('\ncount: 7\n') == 1
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics == pytest.approx(expected_metrics(checkpoint), rel=1e-6)


def processes_with(text):
    """Command lines of the running processes that name a text."""
    found = []
    for path in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            command = path.read_bytes().replace(b'\0', b' ').decode()
        except OSError:  # it has ended meanwhile
            continue
        if text in command:
            found.append(command)
    return found


def wait_for(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f'not within {seconds} s'
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.skipif(not Path('/proc').is_dir(), reason='looks for processes in /proc')
def test_interrupt_leaves_one_hint_and_no_process(tmp_path):
    options = ['train_cfg.max_epochs=100000', '+default_hooks.checkpoint.max_keep_ckpts=1']
    options += ['default_hooks.logger.interval=100']
    process = subprocess.Popen(
        ['bash', 'tools/dist_train.sh', CONFIG, '2', '--work-dir', tmp_path]
        + ['--cfg-options', *options],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(PYTHON=sys.executable, CUDA_VISIBLE_DEVICES='-1'),
        # A process group of its own, which gets the signal as from a terminal.
        start_new_session=True,
    )
    try:
        wait_for((tmp_path / 'last_checkpoint').exists)
        for _ in range(2):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.1)
        _, text = process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            process.kill()
    assert process.returncode == 130, text
    hint = rf'interrupted; to continue: bash tools/dist_train\.sh {CONFIG} 2 --work-dir .* --resume'
    assert len(re.findall(hint, text)) == 1, text
    assert 'Traceback' not in text, text
    wait_for(lambda: not processes_with(str(tmp_path)), 60)


@pytest.mark.slow
def test_rank_that_dies_ends_the_job(tmp_path):
    """With its traceback, long before the collective that the other waits in would give up."""
    options = ['custom_hooks.0.type=Fail', '+custom_hooks.0.rank=1', '+custom_hooks.0.after=2']
    started = time.monotonic()
    result = launch(CONFIG, 2, '--work-dir', tmp_path, '--cfg-options', *options)
    assert time.monotonic() - started < distributed.DEFAULT_TIMEOUT / 3
    assert result.returncode == 1
    assert 'ZeroDivisionError: a bug on one rank' in result.stderr
    assert re.search(r'rank \d (exited with status 1|was ended by SIG\w+); see', result.stderr)
    wait_for(lambda: not processes_with(str(tmp_path)), 60)


@pytest.mark.slow
def test_two_nodes_of_one_rank(tmp_path):
    """NNODES, NODE_RANK, MASTER_ADDR and PORT from the environment, as on a cluster."""
    port = free_port()
    nodes = [
        subprocess.Popen(
            ['bash', 'tools/dist_train.sh', CONFIG, '1', '--work-dir', tmp_path, *hook],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(
                PYTHON=sys.executable,
                CUDA_VISIBLE_DEVICES='-1',
                NNODES='2',
                NODE_RANK=str(rank),
                MASTER_ADDR='127.0.0.1',
                PORT=str(port),
            ),
        )
        for rank, hook in enumerate([write_rank(tmp_path)] * 2)
    ]
    for node in nodes:
        _, text = node.communicate(timeout=600)
        assert node.returncode == 0, text
    assert (tmp_path / 'rank0of2.txt').is_file() and (tmp_path / 'rank1of2.txt').is_file()


def test_mistake_is_named_by_the_ranks_without_a_traceback(tmp_path):
    result = launch(CONFIG, 2, '--work-dir', tmp_path, '--cfg-options', 'model.widht=1')
    assert result.returncode == 1
    assert 'did you mean model.width?' in result.stderr
    assert 'exited with status 1; see its error above' in result.stderr
    assert 'Traceback' not in result.stderr


@pytest.mark.parametrize(
    ('script', 'arguments', 'message'),
    [
        ('dist_train.sh', (), 'usage: bash tools/dist_train.sh CONFIG GPUS '),
        ('dist_train.sh', (CONFIG,), 'usage: bash tools/dist_train.sh CONFIG GPUS '),
        ('dist_train.sh', (CONFIG, 'two'), "error: GPUS must be a positive number, got 'two'"),
        ('dist_train.sh', (CONFIG, '0'), "error: GPUS must be a positive number, got '0'"),
        ('dist_test.sh', (CONFIG, '2'), 'usage: bash tools/dist_test.sh CONFIG CHECKPOINT GPUS '),
        ('dist_test.sh', (CONFIG, 'x.pth', 'two'), "error: GPUS must be a positive number, got 't"),
    ],
)
def test_wrong_usage(script, arguments, message):
    result = launch(*arguments, script=script)
    assert result.returncode == 2
    assert result.stderr.startswith(message)
    assert result.stderr.count('\n') == 1


@pytest.mark.parametrize('given', [{}, {'NODE_RANK': '0'}, {'MASTER_ADDR': 'node1'}])
def test_several_machines_need_rank_and_address(given):
    """With the defaults of one machine, each would wait for the others for ever."""
    result = launch(CONFIG, 2, NNODES='2', **given)
    assert result.returncode == 2
    assert result.stderr.startswith('error: NNODES=2 needs NODE_RANK (0 to 1, another on each')
    assert result.stderr.count('\n') == 1


@pytest.fixture
def ranks(monkeypatch):
    """What torchrun sets for the first of two ranks."""
    for name, value in (('RANK', 0), ('WORLD_SIZE', 2), ('LOCAL_RANK', 0), ('LOCAL_WORLD_SIZE', 2)):
        monkeypatch.setenv(name, str(value))


def test_more_ranks_than_gpus(monkeypatch, ranks):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '4')
    with pytest.raises(UserError, match='4 ranks on a machine with 2 GPUs; start at most 2'):
        distributed.prepare_distributed(Config(dict(launcher='pytorch')))


def test_gpu_machine_is_left_to_the_config(monkeypatch, ranks):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 4)
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '4')
    cfg = Config(dict(launcher='pytorch'))
    distributed.prepare_distributed(cfg)
    assert cfg.to_dict() == dict(launcher='pytorch')
    assert not torch.distributed.is_initialized()

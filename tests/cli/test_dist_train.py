"""``tools/dist_train.sh`` with real ranks on CPU."""

import ast
import socket
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config

from mmssl_prior.cli import distributed
from mmssl_prior.errors import UserError

from .test_train import CONFIG, ROOT, environment, train


def launch(*arguments, **extra):
    return subprocess.run(
        ['bash', 'tools/dist_train.sh', *map(str, arguments)],
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
        _, text = node.communicate(timeout=240)
        assert node.returncode == 0, text
    assert (tmp_path / 'rank0of2.txt').is_file() and (tmp_path / 'rank1of2.txt').is_file()


def test_mistake_is_named_by_the_ranks_without_a_traceback(tmp_path):
    result = launch(CONFIG, 2, '--work-dir', tmp_path, '--cfg-options', 'model.widht=1')
    assert result.returncode == 1
    assert 'did you mean model.width?' in result.stderr
    assert 'exited with status 1; see its error above' in result.stderr
    assert 'Traceback' not in result.stderr


@pytest.mark.parametrize('arguments', [(), (CONFIG,), (CONFIG, 'two'), (CONFIG, '0')])
def test_wrong_usage(arguments):
    result = launch(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith(('usage: bash tools/dist_train.sh', 'error: GPUS must be'))


def test_more_ranks_than_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '4')
    with pytest.raises(UserError, match='4 ranks on a machine with 2 GPUs; start at most 2'):
        distributed.prepare_distributed(Config(dict(launcher='pytorch')))


def test_gpu_machine_is_left_to_the_config(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 4)
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '4')
    cfg = Config(dict(launcher='pytorch'))
    distributed.prepare_distributed(cfg)
    assert cfg.to_dict() == dict(launcher='pytorch')
    assert not torch.distributed.is_initialized()

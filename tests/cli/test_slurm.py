"""``tools/slurm_train.sh`` and ``slurm_test.sh``: a stand-in for srun, real ranks on CPU."""

import json
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config

from mmssl_prior.cli import distributed
from mmssl_prior.cli.train import _resume_hint, build_config, parse_args
from mmssl_prior.errors import UserError

from .test_dist_train import numbers, write_rank
from .test_test import TEST_CONFIG, expected_metrics, save_checkpoint
from .test_train import CONFIG, ROOT, TOYS, environment

USAGE = {
    'slurm_train.sh': 'bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR ',
    'slurm_test.sh': 'bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT ',
}


@pytest.fixture
def cluster(tmp_path):
    """Runs a script where srun and scontrol are stand-ins; returns what srun was given, too."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    programs = dict(srun=f'exec {sys.executable} -S {TOYS / "srun.py"} "$@"')
    # As SLURM unfolds a node list; both machines are this one.
    programs['scontrol'] = 'test "$*" = "show hostnames node[1-2]" && echo localhost && echo other'
    for name, body in programs.items():
        (folder / name).write_text(f'#!/bin/sh\n{body}\n')
        (folder / name).chmod(0o755)

    def run(script, *arguments, **extra):
        variables = environment(PYTHON=sys.executable, CUDA_VISIBLE_DEVICES='-1')
        variables.update(SRUN_LOG=str(tmp_path / 'srun.json'), **extra)
        variables['PATH'] = f'{folder}:{variables["PATH"]}'
        result = subprocess.run(
            ['bash', f'tools/{script}', *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=variables,
        )
        log = tmp_path / 'srun.json'
        return result, json.loads(log.read_text()) if log.exists() else None

    return run


def test_two_machines_train(cluster, tmp_path):
    """One rank on each; the address of the first comes from scontrol, the port from the job."""
    result, srun = cluster(
        'slurm_train.sh',
        *('gpu', 'a-job', CONFIG, tmp_path / 'run', *write_rank(tmp_path)),
        GPUS='2',
        GPUS_PER_NODE='1',
        CPUS_PER_TASK='3',
        SRUN_ARGS='--time=10:00 --gres=none',
    )
    assert result.returncode == 0, result.stderr
    assert srun['options'] == {
        'partition': 'gpu',
        'job-name': 'a-job',
        'gres': 'none',
        'ntasks': '2',
        'ntasks-per-node': '1',
        'cpus-per-task': '3',
        'kill-on-bad-exit': '1',
        'time': '10:00',
    }
    first, second = (numbers(tmp_path / f'rank{rank}of2.txt') for rank in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert (tmp_path / 'run' / 'epoch_2.pth').is_file()


@pytest.mark.slow
def test_two_ranks_of_one_machine_evaluate(cluster, tmp_path):
    checkpoint = save_checkpoint(tmp_path)
    flags = ['--work-dir', tmp_path / 'run', '--out', tmp_path / 'm.json']
    arguments = ('gpu', 'a-job', TEST_CONFIG, checkpoint, *flags)
    result, srun = cluster('slurm_test.sh', *arguments, GPUS='2')
    assert result.returncode == 0, result.stderr
    assert srun['options']['gres'] == 'gpu:2' and srun['options']['ntasks-per-node'] == '2'
    metrics = json.loads((tmp_path / 'm.json').read_text())
    assert metrics == pytest.approx(expected_metrics(checkpoint), rel=1e-6)


@pytest.mark.slow
def test_mistake_ends_the_job(cluster, tmp_path):
    """Each rank names itself, and the status of the ranks is that of the script."""
    options = ['--cfg-options', 'model.widht=1']
    result, _ = cluster('slurm_train.sh', 'gpu', 'job', CONFIG, tmp_path, *options, GPUS='2')
    assert result.returncode in (1, 15)  # srun ends the other, which may not have come to its line
    assert 'did you mean model.width?' in result.stderr and '(rank ' in result.stderr
    assert 'Traceback' not in result.stderr


PREEMPTED = """#!/bin/sh
case " $* " in *' --resume '*) echo again ;; *) echo first ;; esac >>"$CALLS"
made=$(wc -l <"$CALLS")
test -z "$RUN" || echo "iter_$made.pth" >"$RUN/last_checkpoint"
test "$made" -gt "$PREEMPTIONS" || exit 75
exit 3
"""


@pytest.mark.parametrize('script', ['slurm_train.sh', 'slurm_test.sh'])
@pytest.mark.parametrize('batch', ['', 'requeued', 'refused'])
def test_preempted(tmp_path, script, batch):
    """Started again with --resume until it ends for another reason; a batch job through SLURM."""
    programs = dict(
        srun=PREEMPTED,
        python='#!/bin/sh\n',
        scontrol=f'#!/bin/sh\necho "$*" >>"$CALLS.scontrol"\nexit {int(batch == "refused")}\n',
    )
    for name, body in programs.items():
        (tmp_path / name).write_text(body)
        (tmp_path / name).chmod(0o755)
    calls = tmp_path / 'calls'
    variables = dict(CALLS=str(calls), PREEMPTIONS='2', REQUEUE_DELAY='0')
    variables.update(PATH=f'{tmp_path}:/usr/bin:/bin')
    if batch:
        variables.update(SLURM_JOB_ID='12')
    arguments = ['gpu', 'job', 'config.py', str(tmp_path / 'run')]
    variables.update(RUN=arguments[-1])
    (tmp_path / 'run').mkdir()
    result = subprocess.run(
        ['/bin/bash', f'tools/{script}', *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=variables,
    )
    started = calls.read_text().split()
    if script == 'slurm_test.sh':
        assert (result.returncode, started) == (75, ['first'])
    elif batch == 'requeued':
        assert (result.returncode, started) == (0, ['first'])
        assert (tmp_path / 'calls.scontrol').read_text() == 'requeue 12\n'
        # SLURM starts it anew.
        calls.unlink()
        variables.update(SLURM_RESTART_COUNT='1', PREEMPTIONS='0')
        subprocess.run(['/bin/bash', f'tools/{script}', *arguments], cwd=ROOT, env=variables)
        assert calls.read_text().split() == ['again']
    else:
        assert (result.returncode, started) == (3, ['first', 'again', 'again'])
        assert result.stderr.count('preempted; submitted again with --resume') == 2
        # The same status without a checkpoint is something else.
        again = subprocess.run(
            ['/bin/bash', f'tools/{script}', *arguments],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**variables, 'RUN': '', 'PREEMPTIONS': '99'},
        )
        assert again.returncode == 75 and 'without a new checkpoint' in again.stderr


@pytest.mark.parametrize('script', USAGE)
@pytest.mark.parametrize('count', [0, 3])
def test_usage(cluster, script, count):
    result, srun = cluster(script, *['x'] * count)
    assert (result.returncode, srun) == (2, None)
    assert result.stderr.startswith('usage: [GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS=...]')
    assert USAGE[script] in result.stderr and result.stderr.count('\n') == 1


@pytest.mark.parametrize('name', ['GPUS', 'GPUS_PER_NODE', 'CPUS_PER_TASK'])
def test_numbers_are_checked(cluster, name):
    result, srun = cluster('slurm_train.sh', 'gpu', 'job', CONFIG, 'run', **{name: 'two'})
    assert (result.returncode, srun) == (2, None)
    assert result.stderr == f"error: {name} must be a positive number, got 'two'\n"


def test_without_slurm():
    result = subprocess.run(
        ['/bin/bash', 'tools/slurm_test.sh', 'gpu', 'job', str(CONFIG), 'x.pth'],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={'PATH': '/usr/bin:/bin'},
    )
    assert result.returncode == 1
    assert result.stderr.startswith('error: no srun here: ')
    assert result.stderr.endswith('use tools/dist_test.sh\n')


@pytest.fixture
def task(monkeypatch):
    """The variables of the second of two tasks, each on a machine of its own."""
    steps = [f'SLURM_STEP_{name}' for name in ('ID', 'NUM_NODES', 'NODELIST')]
    for name in ('MASTER_ADDR', 'MASTER_PORT', 'RANK', 'WORLD_SIZE', 'LOCAL_RANK', *steps):
        # Set first, so that what the code sets is undone.
        monkeypatch.setenv(name, '')
        monkeypatch.delenv(name)
    values = dict(PROCID=1, NTASKS=2, LOCALID=0, NTASKS_PER_NODE=1, JOB_NUM_NODES=2, JOB_ID=12345)
    for name, value in dict(**values, NODELIST='node[1-2]').items():
        monkeypatch.setenv(f'SLURM_{name}', str(value))
    monkeypatch.setenv('PATH', '/nowhere')
    return monkeypatch


def test_address_that_nobody_tells(task):
    with pytest.raises(UserError, match=r'scontrol does not tell .*node\[1-2\].*set MASTER_ADDR'):
        distributed.prepare_distributed(Config(dict(launcher='slurm')))


def test_variable_that_is_missing(task):
    task.delenv('SLURM_PROCID')
    with pytest.raises(UserError, match=r'slurm: SLURM_PROCID not set; start with: bash tools/sl'):
        distributed.prepare_distributed(Config(dict(launcher='slurm')))


@pytest.mark.parametrize(('step', 'port'), [(None, '22345'), ('7', '22352')])
def test_ranks_on_gpus_find_each_other(task, step, port):
    """MMEngine makes the group; it would take port 29500 for every job of a machine."""
    if step:
        task.setenv('SLURM_STEP_ID', step)
    # One machine of the two that the job has.
    task.setenv('SLURM_STEP_NUM_NODES', '1')
    task.setattr(torch.cuda, 'is_available', lambda: True)
    task.setattr(torch.cuda, 'device_count', lambda: 8)
    distributed.prepare_distributed(Config(dict(launcher='slurm')))
    names = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')
    assert [distributed.os.environ[name] for name in names] == ['1', '2', '0', '127.0.0.1', port]
    assert not torch.distributed.is_initialized()


def test_address_and_port_of_the_user_stay(task):
    task.setenv('MASTER_ADDR', 'node1')
    task.setenv('MASTER_PORT', '1234')
    task.setattr(torch.cuda, 'is_available', lambda: True)
    task.setattr(torch.cuda, 'device_count', lambda: 8)
    distributed.prepare_distributed(Config(dict(launcher='slurm')))
    assert distributed.os.environ['MASTER_ADDR'] == 'node1'
    assert distributed.os.environ['MASTER_PORT'] == '1234'


def test_mpi_over_machines_needs_the_address(monkeypatch, task):
    values = dict(RANK=2, SIZE=4, LOCAL_RANK=0, LOCAL_SIZE=2)
    for name, value in values.items():
        monkeypatch.setenv(f'OMPI_COMM_WORLD_{name}', str(value))
    with pytest.raises(UserError, match='mpi: MASTER_ADDR is not set; set it to the machine of'):
        distributed.prepare_distributed(Config(dict(launcher='mpi')))


def test_resume_hint(task, tmp_path):
    (tmp_path / 'last_checkpoint').write_text('epoch_1.pth')
    task.setenv('SLURM_JOB_PARTITION', 'gpu')
    task.setenv('SLURM_JOB_NAME', 'a job')
    task.syspath_prepend(TOYS)
    args = parse_args([str(CONFIG), '--work-dir', str(tmp_path), '--launcher', 'slurm'])
    assert _resume_hint(args, build_config(args)) == (
        'interrupted; to continue: GPUS=2 GPUS_PER_NODE=1 bash tools/slurm_train.sh gpu '
        f"'a job' {CONFIG} {tmp_path} --resume"
    )

"""``tools/slurm_study.sh``: an array of what is missing, and a job of it, with stand-ins."""

import os
import subprocess

import pytest

from tests.smoke import ROOT

# Knows what is missing; as a run it leaves its arguments and ends as it is told to.
PYTHON = """#!/bin/sh
case "$*" in
    *importlib*) exit 0 ;;
    *--list-missing*) echo "$MISSING" ;;
    *) echo "$@" >> "$LOG"; exit "$STATUS" ;;
esac
"""


@pytest.fixture
def cluster(tmp_path):
    """Runs the script; returns the result and what each stand-in was called with."""
    log = tmp_path / 'log.txt'
    for name, text in dict(
        python=PYTHON,
        sbatch='#!/bin/sh\nfor word in "$@"; do echo "$word" >> "$LOG"; done\n',
        srun='#!/bin/sh\ntest "$1" = --ntasks=1 && shift && exec "$@"\n',
        scontrol='#!/bin/sh\necho scontrol "$@" >> "$LOG"\n',
    ).items():
        (tmp_path / 'bin').mkdir(exist_ok=True)
        (tmp_path / 'bin' / name).write_text(text)
        (tmp_path / 'bin' / name).chmod(0o755)

    def run(*arguments, command=None, **extra):
        log.unlink(missing_ok=True)
        defaults = dict(MISSING='0,2,5', STATUS='0', LOG=str(log), PYTHON='python')
        variables = {**os.environ, **defaults, **extra}
        variables['PATH'] = f'{tmp_path / "bin"}:{variables["PATH"]}'
        command = command or ['bash', 'tools/slurm_study.sh', *map(str, arguments)]
        result = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
        return result, log.read_text().splitlines() if log.exists() else []

    return run


def test_what_is_missing_is_an_array(cluster, tmp_path):
    work = tmp_path / 'a folder'
    extra = dict(GPUS='8', AT_ONCE='4', SBATCH_ARGS='--time=10:00 --gres=none')
    result, words = cluster('gpu', 'job', 'study.py', work, '--only', 'x', **extra)
    assert result.returncode == 0, result.stderr
    assert words[:5] == [
        *('--partition=gpu', '--job-name=job', '--array=0,2,5%4', '--gres=gpu:8'),
        '--cpus-per-task=5',
    ]
    assert words[5:7] == ['--requeue', '--signal=USR1@120'] and work.is_dir()
    assert words[-3:-1] == ['--time=10:00', '--gres=none']
    # A job runs its line; its place in the array reaches tools/study.py as SLURM's variable.
    line = words[-1].removeprefix('--wrap=')
    result, words = cluster(command=['sh', '-c', line], SLURM_ARRAY_TASK_ID='2', SLURM_JOB_ID='7')
    assert result.returncode == 0, result.stderr
    assert words == [f'-u tools/study.py study.py --work-dir {work} --only x']


@pytest.mark.parametrize(('status', 'expected', 'again'), [(0, 0, 0), (1, 1, 0), (75, 0, 1)])
def test_a_job_that_made_room_is_queued_again(cluster, tmp_path, status, expected, again):
    variables = dict(SLURM_ARRAY_TASK_ID='2', SLURM_JOB_ID='7', STATUS=str(status))
    result, words = cluster('gpu', 'job', 'study.py', tmp_path, **variables)
    assert result.returncode == expected
    assert words.count('scontrol requeue 7') == again


def test_nothing_missing_submits_nothing(cluster, tmp_path):
    result, words = cluster('gpu', 'job', 'study.py', tmp_path / 'work', MISSING='')
    assert (result.returncode, words) == (0, []) and 'nothing is missing' in result.stderr


@pytest.mark.parametrize(
    ('arguments', 'extra', 'status', 'message'),
    [
        (['gpu', 'job'], {}, 2, 'usage: [GPUS=1 '),
        (['gpu', 'job', 's.py', 'w'], dict(GPUS='two'), 2, 'GPUS must be a positive number'),
        (['gpu', 'job', 's.py', 'w'], dict(AT_ONCE='0'), 2, 'AT_ONCE must be a positive number'),
    ],
)
def test_mistakes(cluster, arguments, extra, status, message):
    result, words = cluster(*arguments, **extra)
    assert (result.returncode, words) == (status, []) and message in result.stderr

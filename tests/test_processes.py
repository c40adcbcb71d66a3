"""A process that begins with the package imported must be as any other."""

import os
import shlex
import subprocess
import sys
import threading

import pytest

from tests.processes import run_script, warm_python

SCRIPT = """
import os, signal, sys
loaded = 'mmpretrain' in sys.modules
what = sys.argv[1]
print(f'out {loaded} {os.getcwd()} {os.environ.get("OF_THE_TEST")} {sys.argv} {__name__}')
print(sys.path, len(os.listdir('/proc/self/task')))
print('err', file=sys.stderr)
if what == 'input':
    print(repr(sys.stdin.read()))
elif what == 'module':
    import beside
elif what == 'message':
    sys.exit('a message')
elif what == 'bug':
    1 / 0
elif what == 'interrupt':
    raise KeyboardInterrupt
elif what == 'kill':
    os.kill(os.getpid(), signal.SIGKILL)
elif what == 'late':
    signal.pause()
else:
    sys.exit(int(what))
"""


@pytest.fixture
def script(tmp_path):
    (tmp_path / 'beside.py').write_text('print("imported from beside the script")\n')
    (tmp_path / 'script.py').write_text(SCRIPT)
    return tmp_path / 'script.py'


@pytest.mark.parametrize('what', ['0', '3', '-1', '256', 'input', 'module', 'message', 'kill'])
def test_a_script_ends_as_in_a_new_interpreter(script, what):
    env = {**os.environ, 'OF_THE_TEST': 'x', 'PYTHONPATH': '/on/the/path'}
    command = [sys.executable, str(script), what]
    new = subprocess.run(
        command, capture_output=True, text=True, env=env, cwd='/', stdin=subprocess.DEVNULL
    )
    warm = run_script(script, what, env=env, cwd='/')
    assert warm.stdout == new.stdout.replace('out False', 'out True')
    assert (warm.returncode, warm.stderr) == (new.returncode, new.stderr)


@pytest.mark.parametrize('what, status', [('bug', 1), ('interrupt', -2)])
def test_an_exception_keeps_its_traceback(script, what, status):
    result = run_script(script, what)
    assert result.returncode == status
    assert 'Traceback (most recent call last)' in result.stderr
    kind = dict(bug='ZeroDivisionError: ', interrupt='KeyboardInterrupt')[what]
    assert result.stderr.splitlines()[-1].startswith(kind)


def test_a_script_that_is_late_is_ended(script):
    with pytest.raises(subprocess.TimeoutExpired) as ended:
        run_script(script, 'late', timeout=10)
    assert ended.value.stderr == 'err\n'


@pytest.mark.parametrize(
    ('line', 'status', 'output'),
    [
        ('echo "print(3 * \'=\')" | python - | tr = +', 0, '+++\n'),
        (
            'A=b python -c "import os, sys; print(os.environ[\'A\'], sys.argv)" x',
            0,
            "b ['-c', 'x']\n",
        ),
        ('python script.py 4 >/dev/null', 4, 'err\n'),
        ('python -m script 5 | grep -c out', 5, 'err\n1\n'),
        ('{ python script.py kill; } >/dev/null 2>&1', 137, ''),
    ],
)
def test_python_of_a_shell(script, tmp_path, line, status, output):
    with warm_python(tmp_path / 'bin') as folder:
        result = subprocess.run(
            ['bash', '-o', 'pipefail', '-c', f'PATH={shlex.quote(str(folder))}:$PATH; {line}'],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            timeout=300,
        )
    assert (result.returncode, result.stdout) == (status, output)
    assert threading.active_count() < 20

"""Ranks that start together must not trip over yapf's cache, which it writes in place."""

import os
import subprocess
import sys

PROGRAM = """
import mmssl_prior
from mmengine.config import Config
print(Config(dict(answer=42)).pretty_text)
"""


def run(program, cache):
    environment = {**os.environ, 'XDG_CACHE_HOME': str(cache)}
    return subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, env=environment
    )


def test_half_written_cache_does_no_harm(tmp_path):
    made = run('import yapf', tmp_path)
    assert made.returncode == 0, made.stderr
    grammars = list(tmp_path.rglob('*.pickle'))
    assert grammars, 'yapf keeps its grammar elsewhere: the work-around is void'
    for grammar in grammars:
        grammar.write_bytes(b'')
    assert run('import yapf', tmp_path).returncode != 0, 'yapf survives: delete the work-around'
    ours = run(PROGRAM, tmp_path)
    assert ours.returncode == 0, ours.stderr
    assert 'answer = 42' in ours.stdout
    assert all(grammar.read_bytes() == b'' for grammar in grammars), 'the cache was used'

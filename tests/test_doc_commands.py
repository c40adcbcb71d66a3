"""The commands of docs/*.md run, and print what the pages say.

A comment in the line before a fenced block says what becomes of it:

``<!-- run -->``
    bash or python; must succeed. ``run: slow`` is left to ``make test-slow``;
    ``run: fails`` must end with another status than 0.
``<!-- not run: REASON -->``
    bash; every bash block has this or the former.
``<!-- output -->``
    text; its lines occur in this order in what the last block that was run
    printed. ``...`` stands for anything.
``<!-- file: NAME -->``
    is written into the working folder, for the blocks behind it.

The blocks of a page share a folder that looks like a checkout (configs and
tools) and run in order, each in a shell of its own. The folder of every page
but the first holds what ``getting_started.md`` has left in it, a small
trained run.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.processes import warm_python
from tests.smoke import ROOT

DOCS = ROOT / 'docs'
FIRST = 'getting_started'
PAGES = sorted(path.stem for path in DOCS.glob('*.md'))
BLOCK = re.compile(
    r'(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$', re.M | re.S
)
MARK = re.compile(r'run|run: slow|run: fails|not run: .+|output|file: [\w./-]+')


class Block(NamedTuple):
    mark: str
    language: str
    text: str
    line: int


def blocks_of(text):
    return [
        Block(
            match['mark'] or '',
            match['language'],
            match['text'],
            text[: match.start()].count('\n') + 1,
        )
        for match in BLOCK.finditer(text)
    ]


def blocks(page):
    return blocks_of((DOCS / f'{page}.md').read_text(encoding='utf-8'))


def missing_line(shown, printed):
    """The first line of the page that the output does not have in its place, or None."""
    lines = [' '.join(line.split()) for line in printed.splitlines()]
    for line in filter(None, (' '.join(line.split()) for line in shown.splitlines())):
        pattern = '.*'.join(re.escape(part) for part in line.split('...'))
        places = [i for i, candidate in enumerate(lines) if re.search(pattern, candidate)]
        if not places:
            return line
        lines = lines[places[0] + 1 :]
    return None


def environment(python):
    return {
        **os.environ,
        # `python` in a page is that of the activated environment.
        'PATH': f'{python}{os.pathsep}{os.environ["PATH"]}',
        'PYTHONPATH': str(ROOT),
        'OMP_NUM_THREADS': '1',
        'COLUMNS': '100',
        # Output and errors in their order, as in a terminal.
        'PYTHONUNBUFFERED': '1',
    }


def execute(block, folder):
    command = ['bash', '-euo', 'pipefail'] if block.language == 'bash' else ['python', '-']
    with tempfile.TemporaryDirectory() as tmp, warm_python(Path(tmp, 'bin')) as python:
        variables = environment(python)
        result = subprocess.run(
            [shutil.which(command[0], path=variables['PATH']), *command[1:]],
            input=block.text,
            cwd=folder,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
    return result.returncode, result.stdout


def run_page(page, folder, slow=False):
    """Run the page's blocks in the folder."""
    printed = None
    for block in blocks(page):
        where = f'docs/{page}.md:{block.line}'
        kind, _, detail = block.mark.partition(': ')
        if kind == 'file':
            (folder / detail).parent.mkdir(parents=True, exist_ok=True)
            (folder / detail).write_text(block.text)
        elif kind == 'run':
            printed = None
            if detail == 'slow' and not slow:
                continue
            status, printed = execute(block, folder)
            assert (status != 0) == (detail == 'fails'), f'{where}: status {status}\n{printed}'
        elif kind == 'output' and printed is not None:
            line = missing_line(block.text, printed)
            assert line is None, f'{where}: not printed: {line}\n{printed}'


def checkout(folder):
    """What a page's commands need of a checkout; nothing that they write lands in the real one."""
    for name in ('configs', 'tools'):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns('__pycache__'))
    return folder


@pytest.fixture(scope='module')
def started(tmp_path_factory):
    """The folder that the first page leaves."""
    folder = checkout(tmp_path_factory.mktemp('started'))
    run_page(FIRST, folder)
    return folder


@pytest.fixture
def folder(request, tmp_path, page):
    """The folder of a page; one without commands needs none."""
    if page == FIRST:
        return checkout(tmp_path)
    if any(block.mark.startswith('run') for block in blocks(page)):
        shutil.copytree(request.getfixturevalue('started'), tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.parametrize('page', PAGES)
def test_every_command_is_run_or_says_why_not(page):
    for block in blocks(page):
        where = f'docs/{page}.md:{block.line}'
        assert not block.mark or MARK.fullmatch(block.mark), f'{where}: unknown mark {block.mark}'
        if block.language in ('bash', 'sh', 'console', 'shell', ''):
            assert block.language == 'bash', f'{where}: commands stand in ```bash blocks'
            assert block.mark.startswith(('run', 'not run')), (
                f'{where}: put <!-- run --> or <!-- not run: reason --> in the line before it'
            )
        if block.mark.startswith('run'):
            assert block.language in ('bash', 'python'), f'{where}: what should run here?'


def test_commands_of_the_first_page(started):
    assert (started / 'work_dirs').is_dir()


@pytest.mark.parametrize('page', [page for page in PAGES if page != FIRST])
def test_commands_of_the_page(page, folder):
    run_page(page, folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    'page', [page for page in PAGES if any(block.mark == 'run: slow' for block in blocks(page))]
)
def test_slow_commands_of_the_page(page, folder):
    run_page(page, folder, slow=True)


SAMPLE = """\
Text.

<!-- run -->
```bash
echo one; echo two   2
```

<!-- output -->
```text
one
two 2
```

```python
not_run()
```
"""


def test_blocks_and_their_marks():
    run, output, python = blocks_of(SAMPLE)
    assert run == Block('run', 'bash', 'echo one; echo two   2\n', 3)
    assert (output.mark, output.text) == ('output', 'one\ntwo 2\n')
    assert (python.mark, python.line) == ('', 14)


@pytest.mark.parametrize(
    ('shown', 'missing'),
    [
        ('loss 3\nloss 4', None),
        ('loss ...', None),
        ('l...  3', None),
        ('loss 4\nloss 3', 'loss 3'),
        ('loss 5', 'loss 5'),
        ('loss (3)', 'loss (3)'),
    ],
)
def test_output_is_compared_line_by_line(shown, missing):
    assert missing_line(shown, 'start\nloss   3\nloss 4\nend') == missing


@pytest.mark.parametrize(('detail', 'status'), [('run', 0), ('run: fails', 1)])
def test_a_command_that_fails_is_an_error_unless_it_must(monkeypatch, tmp_path, detail, status):
    text = f'<!-- {detail} -->\n```bash\nfalse | true\nexit {1 - status}\n```\n'
    monkeypatch.setitem(globals(), 'DOCS', tmp_path)
    (tmp_path / 'x.md').write_text(text)
    with pytest.raises(AssertionError, match=r'docs/x\.md:1: status'):
        if detail == 'run: fails':
            (tmp_path / 'x.md').write_text(text.replace('false | true\nexit 0', 'true'))
        run_page('x', tmp_path)

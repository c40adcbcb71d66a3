"""The rooms of the package: imports point upward only, and the tree names no machine."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'mmssl_prior'

# Room to what it may import of the package; a room may always import itself and `errors`.
ALLOWED = {
    'functional': set(),
    'datasets': {'functional'},
    'models.priors': {'functional'},
    'models.layers': {'functional', 'models.priors'},
    'models.losses': {'functional', 'models.priors', 'models.layers'},
    'models.data_preprocessors': {'functional'},
    'models.backbones': {'functional', 'models.layers'},
    'models.necks': {'functional', 'models.layers'},
    'models.heads': {'functional', 'models.priors', 'models.layers', 'models.losses'},
    'models.selfsup': {
        'functional',
        'models.priors',
        'models.layers',
        'models.losses',
        'models.heads',
        'models.backbones',
        'models.necks',
    },
    'models.classifiers': {'functional', 'models.layers'},
    'engine': {'functional', 'models', 'datasets', 'evaluation', 'insight'},
    'evaluation': {'functional', 'models', 'datasets', 'config'},
    'visualization': {'functional', 'datasets'},
    'insight': {'functional', 'models', 'datasets', 'evaluation', 'visualization', 'config'},
    'conversion': {'functional', 'models', 'config'},
    'study': {'functional', 'models', 'datasets', 'evaluation', 'insight', 'config'},
    'config': set(),
    'cli': {
        'functional',
        'models',
        'datasets',
        'evaluation',
        'engine',
        'visualization',
        'insight',
        'conversion',
        'config',
        'study',
    },
}
# Maths only, nothing of a registry; numpy for what torch lacks (interpolation).
MATHS = {'torch', 'numpy', 'math', 'collections', 'typing', 'itertools', 'functools'}


def modules():
    return sorted(path for path in PACKAGE.rglob('*.py') if path.parent != PACKAGE)


def dotted(path):
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imports(path):
    """Absolute names of what a module imports, relative imports resolved."""
    package = path.parent.relative_to(ROOT).parts
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = '.'.join((*base, *(node.module.split('.') if node.module else ())))
            # `from package import room` names the room only in the alias.
            for alias in node.names:
                yield f'{module}.{alias.name}'


def room_of(name):
    """The room that a dotted name of the package lies in, or None for its top level."""
    inner = name.removeprefix('mmssl_prior.')
    rooms = [room for room in ALLOWED if inner == room or inner.startswith(room + '.')]
    return max(rooms, key=len) if rooms else None


@pytest.mark.parametrize('path', modules(), ids=dotted)
def test_imports_point_upward(path):
    own = room_of(dotted(path))
    if own is None:
        assert path.name == '__init__.py', f'{dotted(path)} lies in no known room'
        return
    for name in imports(path):
        assert name.split('.')[0] not in {'tools', 'configs', 'tests'}, f'imports {name}'
        if not name.startswith('mmssl_prior'):
            continue
        room = room_of(name)
        if room is None:
            leaf = name.split('.')[1:2] in (['errors'], ['version'])
            assert leaf or own == 'cli', f'imports {name}'
            continue
        permitted = room == own or any(
            room == allowed or room.startswith(allowed + '.') for allowed in ALLOWED[own]
        )
        assert permitted, f'{own} must not import {name}'


@pytest.mark.parametrize(
    'path', sorted((PACKAGE / 'functional').glob('*.py')), ids=lambda path: path.stem
)
def test_functional_imports_maths_and_collectives_only(path):
    for name in imports(path):
        permitted = ('mmengine.dist', 'mmssl_prior.functional', 'mmssl_prior.errors')
        assert name.split('.')[0] in MATHS or name.startswith(permitted), f'imports {name}'


def test_no_machine_paths():
    """Paths of the machine that a file was written on must not stay in it."""
    listed = subprocess.run(
        ['git', 'ls-files', '--cached', '--others', '--exclude-standard'],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip('not a git checkout')
    # Written so that this file does not name them itself.
    pattern = re.compile(r'(?<![\w./])/(?:work|root|tmp/w|farm)/')
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if not path.is_file() or path.suffix in {'.png', '.npz', '.jpg'}:
            continue
        text = path.read_text(encoding='utf-8')
        found = pattern.search(text)
        assert found is None, f'{name} names {found.group()}'

"""Digests of code: what can change a result changes them, and nothing else does."""

import inspect
import sys
from pathlib import Path

import mmpretrain.registry
import pytest
from mmengine.config import Config
from mmengine.registry import Registry

from mmssl_prior.cli import train
from mmssl_prior.config import load_config
from mmssl_prior.study.code import CodeTree, file_digest, package_code
from mmssl_prior.study.identity import TRAINING_ROOMS, _names, trained_digest
from tests.study.tiny import write_study

FILES = {
    '__init__.py': '',
    'maths/__init__.py': 'from .area import area as surface\nfrom .other import other\n',
    'maths/area.py': (
        '"""Areas."""\n\nPI = 3\n\n\ndef area(r):\n    """Of a disc."""\n    return PI * r\n'
    ),
    'maths/other.py': 'def other():\n    return 1\n',
    'nets/__init__.py': 'from .disc import Disc\nfrom .ring import Ring\n',
    'nets/disc.py': (
        'from ..maths import surface\n\n\n@MODELS.register_module()\nclass Disc:\n'
        '    def size(self, r):\n        if r < 0:\n'
        "            raise ValueError(f'negative: {r}')\n        return surface(r)\n"
    ),
    'nets/ring.py': (
        "@MODELS.register_module()\n@final\nclass Ring:\n    inner = dict(type='Disc')\n"
    ),
}


@pytest.fixture
def package(tmp_path):
    """Writes the package with changes of single files, and gives its tree."""

    def write(**changes):
        root = tmp_path / 'pack'
        for name, text in FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(changes.get(Path(name).stem, text))
        return CodeTree(root)

    return write


def digest(tree, *names, **arguments):
    return tree.digest(tree.reached(names, **arguments))


def test_a_class_reaches_what_it_imports_and_what_it_names(package):
    tree = package()
    assert tree.registered == dict(Disc='pack.nets.disc', Ring='pack.nets.ring')
    # `surface` comes from the file that defines it; `other`, beside it, is not behind a disc.
    assert tree.reached(['Disc', 'Conv2d']) == {'pack.nets.disc', 'pack.maths.area'}
    assert tree.reached(['Ring']) == {'pack.nets.ring', 'pack.nets.disc', 'pack.maths.area'}
    assert tree.reached(['Ring'], texts=False) == {'pack.nets.ring'}
    assert tree.reached(['Ring'], rooms=['nets']) == {'pack.nets.ring', 'pack.nets.disc'}


@pytest.mark.parametrize(
    ('file', 'old', 'new', 'changes'),
    [
        ('area', 'PI = 3', 'PI = 3.14', True),
        ('area', 'PI * r', 'PI * r**2', True),
        ('area', 'PI * r', 'PI * r  # roughly', False),
        ('area', 'PI * r', '(PI * r)', False),
        ('area', 'Of a disc.', 'Of a circle.', False),
        ('area', '"""Areas."""\n', '', False),
        ('area', 'PI = 3', "__all__ = ['area']\nPI = 3", False),
        ('disc', 'negative: {r}', 'below zero', False),
        ('disc', 'r < 0', 'r <= 0', True),
        ('disc', 'ValueError', 'TypeError', True),
        ('other', 'return 1', 'return 2', False),
        ('ring', 'inner', 'outer', False),
    ],
)
def test_digest_of_a_disc(package, file, old, new, changes):
    before = digest(package(), 'Disc')
    text = next(text for name, text in FILES.items() if Path(name).stem == file)
    assert old in text
    assert (digest(package(**{file: text.replace(old, new)}), 'Disc') != before) == changes


def test_every_registered_class_is_found_by_its_name():
    known = {
        name: item.__module__
        for registry in vars(mmpretrain.registry).values()
        if isinstance(registry, Registry)
        for name, item in registry.module_dict.items()
        if item.__module__.startswith('mmssl_prior.')
    }
    assert len(known) > 70
    assert {name: package_code().registered.get(name) for name in known} == known


def test_a_training_calls_nothing_outside_its_digest(tmp_path, monkeypatch):
    """Every function of the four rooms that a training calls is in a module that counts."""
    write_study(tmp_path)
    called = set()
    top = str(package_code().root)

    def watch(frame, event, argument):
        name = frame.f_code.co_filename
        if event == 'call' and name.startswith(top):
            called.add(frame.f_globals.get('__name__'))

    monkeypatch.setenv('SEED', '0')
    monkeypatch.setenv('LOCAL_RANK', '0')
    config = str(tmp_path / 'tiny.py')
    sys.setprofile(watch)
    try:
        status = train.main([config, '--work-dir', str(tmp_path / 'run')])
    finally:
        sys.setprofile(None)
    assert status == 0
    rooms = tuple(f'mmssl_prior.{room}.' for room in TRAINING_ROOMS)
    called = {name for name in called if name.startswith(rooms)}
    reached = package_code().reached(_names(load_config(config).to_dict()), rooms=TRAINING_ROOMS)
    assert {'mmssl_prior.models.selfsup.msn', 'mmssl_prior.functional.priors'} <= called
    assert called <= reached


def test_code_of_a_config_of_the_users(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'own_digest_a.py').write_text('x = 1\n')
    (tmp_path / 'own_digest_b.py').write_text('x = 1  # the same\n')
    (tmp_path / 'own_digest_c.py').write_text('x = 2\n')
    first, same, other = (file_digest(f'own_digest_{name}') for name in 'abc')
    assert first == same != other
    assert file_digest('no_such_module_here') == ''


def test_names_of_a_config():
    values = Config(dict(model=dict(type='mmpretrain.MSN', parts=[dict(type=inspect.Parameter)])))
    assert {'MSN', 'Parameter'} <= set(_names(values.to_dict()))


def test_a_module_of_this_package_that_a_config_imports_counts():
    """Its class lies in none of the four rooms; what it builds on counts as well."""
    head = dict(model=dict(type='MistakenPMSNHead'))
    imports = ['mmssl_prior', 'mmssl_prior.study.mistakes']
    digests, asked = [], []

    class Watched(CodeTree):
        def digest(self, modules):
            asked.append(set(modules))
            return super().digest(modules)

    tree = Watched(package_code().root)
    for names in (imports[:1], imports):
        cfg = Config(dict(head, custom_imports=dict(imports=names)))
        digests.append(trained_digest(cfg, {}, None, tree))
    assert digests[0] != digests[1]
    assert 'mmssl_prior.study.mistakes' in asked[1] - asked[0]
    assert 'mmssl_prior.models.heads.pmsn_head' in asked[1]

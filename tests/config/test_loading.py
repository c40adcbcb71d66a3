"""Config files that are missing or do not parse: one line with the file and the line."""

import pytest

from mmssl_prior.config import load_config
from mmssl_prior.errors import UserError


def write(folder, **files):
    for name, text in files.items():
        (folder / f'{name}.py').write_text(text)
    return folder / f'{next(iter(files))}.py'


def test_reads_bases(tmp_path):
    path = write(tmp_path, child="_base_ = './base.py'\nb = 2\n", base='a = 1\n')
    cfg = load_config(path)
    assert (cfg.a, cfg.b) == (1, 2)


def test_missing_names_the_nearest(tmp_path):
    write(tmp_path, pmsn_small='a = 1\n')
    with pytest.raises(UserError, match=r'no such file \(did you mean .*pmsn_small\.py\?\)'):
        load_config(tmp_path / 'pmsn_smal.py')


def test_missing_with_nothing_near(tmp_path):
    with pytest.raises(UserError, match=r'zzzz\.py: no such file$'):
        load_config(tmp_path / 'zzzz.py')


@pytest.mark.parametrize(
    ('files', 'message'),
    [
        (dict(c='a = 1\nb = (\n'), r"c\.py:2: '\(' was never closed"),
        (dict(c='a = 1\n\nb = nope\n'), r"c\.py:3: NameError: name 'nope' is not defined"),
        (dict(c="_base_ = 'base.py'\n", base='a = 1\nb = 1 / 0\n'), r'base\.py:2: ZeroDivision'),
        (dict(c="_base_ = 'base.py'\n", base='a = (\n'), r'base\.py:1: '),
        (dict(c="_base_ = 'base.py'\n"), r'c\.py: its _base_ .*base\.py: no such file'),
        (
            dict(c="_base_ = ['b1.py', 'b2.py']\n", b1='a = 1\n', b2='a = 2\n'),
            r'c\.py: KeyError: .*Duplicate',
        ),
        (dict(c="_base_ = 'b.py'\na = _base_.model.x\n", b='model = dict()\n'), r'c\.py:2: '),
        (
            dict(c="custom_imports = dict(imports=['no_such_module_here'])\n"),
            r"c\.py: No module named 'no_such_module_here'",
        ),
    ],
)
def test_does_not_evaluate(tmp_path, files, message):
    with pytest.raises(UserError, match=message):
        load_config(write(tmp_path, **files))


def test_custom_import_with_a_bug_keeps_its_traceback(tmp_path, monkeypatch):
    """A module that exists and is broken is not a mistake in the config."""
    (tmp_path / 'broken_plugin.py').write_text('from math import nothing_like_it\n')
    monkeypatch.syspath_prepend(tmp_path)
    path = write(tmp_path, c="custom_imports = dict(imports=['broken_plugin'])\n")
    with pytest.raises(ImportError):
        load_config(path)


def test_not_python(tmp_path):
    path = tmp_path / 'c.txt'
    path.write_text('a = 1')
    with pytest.raises(UserError, match=r'c\.txt: Only py/yml'):
        load_config(path)

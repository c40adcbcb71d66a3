"""Names of configs: the current folder's first, then the package's."""

from pathlib import Path

import pytest

from mmssl_prior.config import load_config, package_root, packaged, resolve_config
from mmssl_prior.errors import UserError
from tests.smoke import ROOT

NAME = 'configs/pmsn/pmsn_vit-mini_digits-lt.py'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_root_of_a_checkout():
    assert package_root() == ROOT


def test_root_of_a_wheel(folder, monkeypatch):
    (folder / '.mim').mkdir()
    monkeypatch.setattr(packaged, 'PACKAGE', folder)
    assert package_root() == folder / '.mim'


def test_current_folder_first(folder):
    assert resolve_config(NAME) == ROOT / NAME
    assert resolve_config(NAME.replace('configs/', 'mmssl_prior::')) == ROOT / NAME
    path = folder / NAME
    path.parent.mkdir(parents=True)
    path.write_text('a = 1\n')
    assert resolve_config(NAME) == Path(NAME)
    assert load_config(NAME).a == 1
    assert resolve_config(NAME.replace('configs/', 'mmssl_prior::')) == ROOT / NAME


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        (
            'configs/pmsn/pmsn_vit-mini_digit-lt.py',
            r'config configs/.*_digit-lt\.py or .*/configs/.*_digit-lt\.py: no such '
            r'file \(did you mean .*configs/pmsn/pmsn_vit-mini_digits-lt\.py\?\)',
        ),
        (
            'mmssl_prior::pmsn/pmsn_vit-mini_digit-lt.py',
            r'config /.*digit-lt\.py: no such file \(did you mean .*_vit-mini_digits-lt\.py\?\)',
        ),
        (
            'nothing_of_the_kind.py',
            r'config nothing_.* or .*_of_the_kind\.py: no such file$',
        ),
    ],
)
def test_missing(folder, name, message):
    with pytest.raises(UserError, match=message):
        resolve_config(name)


def test_base_of_the_package_in_a_checkout(folder):
    """MMEngine looks in `.mim`, which only a wheel has."""
    Path('mine.py').write_text(f"_base_ = 'mmssl_prior::{NAME.removeprefix('configs/')}'\n")
    message = r'mine\.py: its _base_ of another package needs .*model-index\.yml, .*: name the base'
    with pytest.raises(UserError, match=message):
        load_config('mine.py')


def test_tools_are_modules():
    """``python -m mmssl_prior.tools.train``, whatever tools there are."""
    import importlib.util

    for path in (ROOT / 'tools').glob('*.py'):
        spec = importlib.util.find_spec(f'mmssl_prior.tools.{path.stem}')
        assert spec is not None and Path(spec.origin) == path

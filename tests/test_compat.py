"""The gate at import, with stand-ins for the OpenMMLab packages in a process of its own."""

import io
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from mmssl_prior._quiet import quiet_import

ROOT = Path(__file__).resolve().parents[1]

# Installed packages are hidden by name; what the case provides comes first on the path.
PROGRAM = """
import importlib.abc, importlib.metadata, sys
hidden = {'mmengine', 'mmcv', 'mmpretrain', 'cv2'}
sys.path.insert(0, sys.argv[1])

class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] not in hidden:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path or [sys.argv[1]])
        if spec is None:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
        return spec

sys.meta_path.insert(0, Hide())
found = importlib.metadata.version
def version(name):
    import os
    if any(part in name for part in {*hidden, 'torch', 'numpy'}):
        for path in importlib.metadata.distributions(path=[sys.argv[1]]):
            if path.metadata['Name'] == name:
                return path.version
        raise importlib.metadata.PackageNotFoundError(name)
    return found(name)
importlib.metadata.version = version
import types
# The rooms are not the subject: only the gate runs.
package = types.ModuleType('mmssl_prior')
package.__path__ = [sys.argv[2]]
sys.modules['mmssl_prior'] = package
from mmssl_prior._compat import check_stack
sys.version_info = (*map(int, sys.argv[3].split('.')), 0, 'final', 0)
try:
    check_stack()
except ImportError as error:
    print(error.name, '|', error)
else:
    print('passed')
"""

GOOD = {'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6', 'onedl-mmpretrain': '1.3.6'}
UPSTREAM = {'mmengine': '0.10.7', 'mmcv-lite': '2.2.0', 'mmpretrain': '1.2.0'}


def import_name(distribution):
    return distribution.removeprefix('onedl-').removesuffix('-lite')


def gate(folder, distributions, sources=None, python='3.12', **libraries):
    """Output of the gate in an environment with just these distributions."""
    for name, version in {'torch': '2.5.1+cu121', 'numpy': '1.26.4', **libraries}.items():
        info = folder / f'{name}-{version}.dist-info'
        info.mkdir(exist_ok=True)
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')
    for name, version in distributions.items():
        info = folder / f'{name.replace("-", "_")}-{version}.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')
        package = folder / import_name(name)
        package.mkdir(exist_ok=True)
        (package / '__init__.py').write_text(f'__version__ = {version!r}\n')
    for name, source in (sources or {}).items():
        (folder / f'{name}.py' if name == 'cv2' else folder / name / '__init__.py').write_text(
            source
        )
    result = subprocess.run(
        [sys.executable, '-c', PROGRAM, str(folder), str(ROOT / 'mmssl_prior'), python],
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()


@pytest.mark.parametrize('stack', [GOOD, UPSTREAM], ids=['onedl', 'upstream'])
def test_supported_stack_passes(tmp_path, stack):
    assert gate(tmp_path, stack) == 'passed'


def test_nothing_installed_names_one_command_for_all(tmp_path):
    line = gate(tmp_path, {})
    assert line.startswith('mmssl_prior | mmssl_prior: mmengine is not installed; run: pip install')
    for name in GOOD:
        assert f"'{name}>={GOOD[name]}" in line
    assert '\n' not in line


@pytest.mark.parametrize('missing', list(GOOD))
def test_one_missing_names_it(tmp_path, missing):
    line = gate(tmp_path, {name: version for name, version in GOOD.items() if name != missing})
    assert f'{import_name(missing)} is not installed; run: pip install' in line
    assert f"'{missing}>=" in line
    assert '\n' not in line


def test_one_missing_of_upstream_names_upstream(tmp_path):
    line = gate(tmp_path, {'mmengine': '0.10.7', 'mmcv-lite': '2.2.0'})
    assert "run: pip install 'mmpretrain>=1.2.0,<2.0'" in line
    assert 'onedl' not in line


@pytest.mark.parametrize(
    ('stack', 'name', 'version'),
    [
        (GOOD, 'onedl-mmengine', '0.10.11'),
        (GOOD, 'onedl-mmengine', '1.0.0'),
        (GOOD, 'onedl-mmcv', '2.2.0'),
        (GOOD, 'onedl-mmcv', '3.0.0'),
        (GOOD, 'onedl-mmpretrain', '1.3.5'),
        (GOOD, 'onedl-mmpretrain', '2.0'),
        (UPSTREAM, 'mmengine', '0.10.3'),
        (UPSTREAM, 'mmcv-lite', '2.1.0'),
        (UPSTREAM, 'mmpretrain', '1.1.1'),
    ],
)
def test_version_out_of_range(tmp_path, stack, name, version):
    line = gate(tmp_path, {**stack, name: version})
    assert f'{name} {version} is not supported' in line
    assert f"run: pip install '{name}>={stack[name]}" in line
    assert '\n' not in line


def test_newer_versions_within_the_maximum_pass(tmp_path):
    newer = {'onedl-mmengine': '0.11.0', 'onedl-mmcv': '2.10.0', 'onedl-mmpretrain': '1.10.1'}
    assert gate(tmp_path, newer) == 'passed'


def test_both_providers(tmp_path):
    line = gate(tmp_path, {**GOOD, 'mmengine': '0.10.7'})
    assert 'mmengine and onedl-mmengine overwrite each other' in line
    assert 'run: pip uninstall -y mmengine onedl-mmcv onedl-mmengine onedl-mmpretrain &&' in line
    assert '\n' not in line


def test_files_gone_but_recorded(tmp_path):
    """What is left after one of two providers was uninstalled."""
    gate(tmp_path, GOOD)
    for file in (tmp_path / 'mmengine').rglob('*'):
        if file.is_file():
            file.unlink()
    for folder in sorted((tmp_path / 'mmengine').rglob('*'), reverse=True):
        folder.rmdir()
    (tmp_path / 'mmengine').rmdir()
    line = gate(tmp_path, {})
    assert "run: pip install --force-reinstall --no-deps 'onedl-mmengine" in line


def test_packages_of_two_stacks(tmp_path):
    """No file is overwritten, but nobody has tried these together."""
    line = gate(tmp_path, {'onedl-mmengine': '0.10.12', 'mmcv-lite': '2.2.0'})
    assert 'mmcv-lite and onedl-mmengine are of two stacks' in line
    assert 'run: pip uninstall -y mmcv-lite onedl-mmengine && pip install' in line
    assert '\n' not in line


def test_another_provider_makes_way(tmp_path):
    """Installed beside it, mmcv-lite would overwrite its files."""
    stack = {'mmengine': '0.10.7', 'mmcv': '2.1.0', 'mmpretrain': '1.2.0'}
    line = gate(tmp_path, stack)
    assert 'mmcv 2.1.0 is not supported (>=2.2.0,<3.0)' in line
    assert line.endswith("run: pip uninstall -y mmcv && pip install 'mmcv-lite>=2.2.0,<3.0'")


LATE_TORCH = "run: pip install 'torch<2.6' 'torchvision<0.21'"


@pytest.mark.parametrize('version', ['2.6.0', '2.6.0a0+vendor', '2.15.0+cu130'])
def test_torch_too_new_for_upstream(tmp_path, version):
    line = gate(tmp_path, UPSTREAM, torch=version)
    assert 'upstream OpenMMLab (mmcv-lite, mmengine, mmpretrain)' in line
    assert f'with torch {version} mmengine cannot load its own checkpoints' in line
    assert line.endswith(LATE_TORCH)
    assert '\n' not in line


def test_numpy_too_new_for_upstream(tmp_path):
    line = gate(tmp_path, UPSTREAM, numpy='2.0.0')
    assert "with numpy 2.0.0 mmcv's hue jitter fails" in line
    assert line.endswith("run: pip install 'numpy<2' 'opencv-python<4.12'")


def test_both_too_new_for_upstream_take_one_command(tmp_path):
    line = gate(tmp_path, UPSTREAM, torch='2.7.1', numpy='2.2.6')
    assert line.endswith(f"{LATE_TORCH} 'numpy<2' 'opencv-python<4.12'")
    assert '\n' not in line


def test_python_too_new_for_upstream(tmp_path):
    line = gate(tmp_path, UPSTREAM, python='3.13')
    assert 'needs Python 3.12 or older, this is 3.13' in line
    assert "run: pip uninstall -y mmcv-lite mmengine mmpretrain && pip install 'onedl" in line
    assert '\n' not in line


def test_the_forks_have_no_such_limits(tmp_path):
    assert gate(tmp_path, GOOD, torch='2.15.0', numpy='2.4.6', python='3.14') == 'passed'


@pytest.mark.parametrize(
    ('library', 'package'),
    [
        ('libGL.so.1', 'libgl1'),
        ('libgthread-2.0.so.0', 'libglib2.0-0'),
        ('libxcb.so.1', 'libxcb1'),
    ],
)
def test_missing_system_library_names_the_package(tmp_path, library, package):
    message = f'{library}: cannot open shared object file: No such file or directory'
    line = gate(
        tmp_path,
        GOOD,
        {'cv2': f'raise ImportError({message!r})', 'mmcv': "__version__ = '2.3.6'\nimport cv2"},
    )
    assert f'OpenCV needs the system library {library}; run: apt-get install' in line
    assert package in line.split('apt-get install ')[1].split()
    assert '\n' not in line


def test_missing_opencv_names_it(tmp_path):
    line = gate(tmp_path, GOOD, {'mmcv': "__version__ = '2.3.6'\nimport cv2"})
    assert line.endswith('OpenCV is not installed; run: pip install opencv-python')


def test_broken_import_is_not_disguised(tmp_path):
    """An error inside a package is a bug of that package, not a missing one."""
    line = gate(tmp_path, GOOD, {'mmcv': 'import not_there_at_all'})
    assert line == "not_there_at_all | No module named 'not_there_at_all'"


def test_package_imports_with_the_installed_stack_and_says_nothing():
    # What only reports and probes need is imported by them: a training does not wait for it.
    code = (
        'import sys, mmssl_prior; late = {"sklearn", "matplotlib", "umap"} & {*sys.modules}; '
        'assert not late, late'
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert (result.stdout, result.stderr) == ('', '')


def test_only_known_noise_is_dropped(capsys):
    """Every other line and warning arrives as it was, what ends without a line end too."""
    stdout, show = sys.stdout, warnings.showwarning
    with pytest.warns(UserWarning) as caught:
        with quiet_import():
            print('Could not import OneDL')
            print('Could not import OneDL', 'because')
            print('that:', 'Could not import OneDL')
            print()
            print('a line')
            warnings.warn('Fail to import ``MultiScaleDeformableAttention`` from', stacklevel=1)
            warnings.warn('something else', stacklevel=1)
            assert sys.stdout.encoding == stdout.encoding
            print('Could', end='')
    lines = 'Could not import OneDL because\nthat: Could not import OneDL\n\na line\nCould'
    assert capsys.readouterr().out == lines
    assert [str(warning.message) for warning in caught] == ['something else']
    assert (sys.stdout, warnings.showwarning) == (stdout, show)


def test_what_an_import_puts_in_place_stays(monkeypatch):
    monkeypatch.setattr(sys, 'stdout', io.StringIO())
    monkeypatch.setattr(warnings, 'showwarning', warnings.showwarning)
    with quiet_import():
        sys.stdout = stream = io.StringIO()
        warnings.showwarning = print
    assert sys.stdout is stream and warnings.showwarning is print


def test_error_passes_and_restores():
    stdout, show = sys.stdout, warnings.showwarning
    with pytest.raises(ImportError, match='gate'), quiet_import():
        raise ImportError('gate')
    assert (sys.stdout, warnings.showwarning) == (stdout, show)

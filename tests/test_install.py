"""What ``pip`` and ``make`` install: the wheel outside the checkout, and the environment."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mmssl_prior._compat import ONEDL, UPSTREAM, UPSTREAM_LIMITS

ROOT = Path(__file__).resolve().parents[1]
INSTALLER = ROOT / '.ci' / 'install'


def sources(folder):
    """A copy of what is packaged, so that a build leaves nothing in the tree."""
    ignore = shutil.ignore_patterns('__pycache__', '*.egg-info')
    for name in ('mmssl_prior', 'configs', 'tools'):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in (
        'setup.py',
        'pyproject.toml',
        'MANIFEST.in',
        'README.md',
        'LICENSE',
        'model-index.yml',
    ):
        if (ROOT / name).exists():
            shutil.copy2(ROOT / name, folder)
    return folder


def run(*command, **kwargs):
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, **kwargs
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    tree = sources(tmp_path_factory.mktemp('tree'))
    target = tmp_path_factory.mktemp('wheel')
    flags = ('--no-deps', '--no-build-isolation', '--quiet', '--wheel-dir', target)
    run(sys.executable, '-m', 'pip', 'wheel', *flags, tree)
    # Symbolic links in the tree are how others do it; a build must leave none.
    assert not any(path.is_symlink() for path in tree.rglob('*'))
    (built,) = target.glob('mmssl_prior-*.whl')
    return built


def metadata(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith('.dist-info/METADATA'))
    return archive.read(name).decode().splitlines()


def requirements(wheel):
    """The lines of what comes with the package itself, without its extras."""
    lines = [line for line in metadata(wheel) if line.startswith('Requires-Dist')]
    return [line for line in lines if 'extra ==' not in line]


def test_wheel_holds_package_configs_and_tools(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ('mmssl_prior', 'configs', 'tools'):
        prefix = '' if folder == 'mmssl_prior' else 'mmssl_prior/.mim/'
        for path in (ROOT / folder).rglob('*'):
            if path.is_file() and '__pycache__' not in path.parts and '.mim' not in path.parts:
                assert prefix + str(path.relative_to(ROOT)) in names
    assert not [name for name in names if name.startswith(('tests', 'tools', 'configs'))]


def distributions(lines):
    return {re.match(r'Requires-Dist: ([\w-]+)', line).group(1) for line in lines}


def test_wheel_requires_what_the_package_imports(wheel):
    required = distributions(requirements(wheel))
    names = {'scikit-learn': 'sklearn', 'pillow': 'PIL'}
    known = {names.get(name, name) for name in required} | sys.stdlib_module_names
    # OpenCV comes with mmcv, under one of its four names.
    known |= {'mmssl_prior', 'mmengine', 'mmcv', 'mmpretrain', 'cv2'}
    # Extras may be absent: only what is done with them imports them.
    optional = {'transformers', 'onnx', 'onnxruntime', 'umap'}
    for path in (ROOT / 'mmssl_prior').rglob('*.py'):
        tree = ast.parse(path.read_text(encoding='utf-8'))
        for node in ast.walk(tree):
            found = []
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found = [node.module]
            allowed = known if node in tree.body else known | optional
            for name in found:
                assert name.split('.')[0] in allowed, f'{path.name} imports {name}'


def test_wheel_requires_torch_with_fused_adamw_on_cpu(wheel):
    required = requirements(wheel)
    assert 'Requires-Dist: torch>=2.4' in required
    assert 'Requires-Dist: torchvision>=0.19' in required


def test_extras_are_what_the_gate_accepts(wheel):
    """The lowest versions of each stack, and upstream's limits, stand in two places."""
    extras = {}
    for line in metadata(wheel):
        found = re.fullmatch(r"""Requires-Dist: ([^;]+?) *; *extra == ['"](\w+)['"]""", line)
        if found:
            extras.setdefault(found[2], set()).add(found[1])
    assert extras['onedl'] == {f'{r.distribution}>={r.minimum}' for r in ONEDL.values()}
    pins = {pin.strip("'") for limit in UPSTREAM_LIMITS for pin in limit.pins.split()}
    exact = {f'{r.distribution}=={r.minimum}' for r in UPSTREAM.values()}
    assert extras['openmmlab'] == exact | pins | {'setuptools<82'}


def test_manifest_names_files_that_exist():
    lines = (ROOT / 'MANIFEST.in').read_text().splitlines()
    for line in lines:
        word, *names = line.split()
        if word in ('graft', 'include'):
            assert [name for name in names if not (ROOT / name).exists()] == []


def test_wheel_requires_no_openmmlab_package(wheel):
    """Installing the plugin must not replace the packages that a user has."""
    lines = metadata(wheel)
    required = [line for line in lines if line.startswith('Requires-Dist')]
    unconditional = requirements(wheel)
    assert [line for line in required if 'onedl-mmengine>=0.10.12' in line]
    assert unconditional
    for name in ('mmengine', 'mmcv', 'mmpretrain'):
        assert not [line for line in unconditional if name in line]
    assert 'Requires-Python: >=3.10' in lines


def test_wheel_works_outside_the_checkout(wheel, tmp_path):
    """Imported, and a training started, from a folder that is not the checkout."""
    target = tmp_path / 'site'
    run(sys.executable, '-m', 'pip', 'install', '--no-deps', '--quiet', '--target', target, wheel)
    environment = {**os.environ, 'PYTHONPATH': f'{target}{os.pathsep}{ROOT / "tests" / "toys"}'}
    place = run(sys.executable, '-c', CONFIGS_OF_THE_WHEEL, cwd=tmp_path, env=environment)
    assert Path(place.strip().splitlines()[-1]) == target / 'mmssl_prior' / '__init__.py'
    config = shutil.copy2(ROOT / 'tests' / 'toys' / 'toy_config.py', tmp_path)
    # As `mim train mmssl_prior toy_config.py` runs it.
    tool = target / 'mmssl_prior' / '.mim' / 'tools' / 'train.py'
    flags = ('--launcher', 'none', '--work-dir', 'run')
    run(sys.executable, tool, config, *flags, cwd=tmp_path, env=environment)
    assert (tmp_path / 'run' / 'epoch_2.pth').is_file()
    module = ('-m', 'mmssl_prior.tools.train')
    run(sys.executable, *module, config, '--work-dir', 'module', cwd=tmp_path, env=environment)
    assert (tmp_path / 'module' / 'epoch_2.pth').is_file()


# From a folder with none of its own. The values are those of the digits config.
CONFIGS_OF_THE_WHEEL = """
from pathlib import Path
import mmssl_prior
from mmengine.hub import get_config
from mmssl_prior.config import check_arguments, load_config, resolve_config

name = 'pmsn/pmsn_vit-mini_digits-lt.py'
for path in (resolve_config(f'configs/{name}'), resolve_config(f'mmssl_prior::{name}')):
    assert path.parts[-5:] == ('mmssl_prior', '.mim', 'configs', *Path(name).parts), path
Path('mine.py').write_text(f"_base_ = 'mmssl_prior::{name}'\\ntrain_cfg = dict(max_epochs=7)\\n")
found = get_config(f'mmssl_prior::{name}')
for cfg in (load_config('mine.py'), load_config(f'configs/{name}'), found):
    check_arguments(cfg)
    assert cfg.train_dataloader.dataset.type == 'DigitsLT'
    assert '_scope_' not in cfg.pretty_text, cfg.pretty_text
assert load_config('mine.py').train_cfg.max_epochs == 7
check_arguments(load_config('configs/pmsn/pmsn_vit-b16_inat18.py'))
print(mmssl_prior.__file__)
"""


class TestInstaller:
    """``.ci/install`` with stand-ins for Python: what goes wrong before a long download."""

    @pytest.fixture
    def tree(self, tmp_path):
        (tmp_path / '.ci').mkdir()
        shutil.copy2(INSTALLER, tmp_path / '.ci')
        (tmp_path / 'bin').mkdir()
        return tmp_path

    def stand_in(self, path, body):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\n{body}\n')
        path.chmod(0o755)
        return path

    def install(self, tree, *stack, **extra):
        environment = {'PATH': f'{tree / "bin"}:/usr/bin:/bin', **extra}
        return subprocess.run(
            ['bash', '.ci/install', *stack],
            cwd=tree,
            env=environment,
            capture_output=True,
            text=True,
        )

    def test_old_python(self, tree):
        python = self.stand_in(tree / 'bin' / 'old', 'exit 1')
        result = self.install(tree, PYTHON=str(python))
        assert result.returncode == 1
        assert result.stderr.startswith('error: no Python 3.10 or newer found')
        assert result.stderr.count('\n') == 1

    def test_no_venv_module(self, tree):
        """Debian's Python without the package python3-venv."""
        python = self.stand_in(tree / 'bin' / 'bare', 'case "$2" in *ensurepip*) exit 1;; esac')
        result = self.install(tree, PYTHON=str(python))
        assert result.returncode == 1
        assert result.stderr.endswith('on Debian or Ubuntu run: apt-get install python3-venv\n')
        assert result.stderr.count('\n') == 1

    def test_python_too_new_for_upstream(self, tree):
        """Asked in its own words, each candidate says no to what is not below 3.13."""
        python = self.stand_in(tree / 'bin' / 'new', 'case "$3" in 3.13) exit 1;; esac')
        result = self.install(tree, 'openmmlab', PYTHON=str(python))
        assert result.returncode == 1
        assert result.stderr.startswith('error: no Python 3.10 to 3.12 found')
        assert result.stderr.endswith('run: make test-openmmlab PYTHON=/path/to/python3\n')
        assert result.stderr.count('\n') == 1

    def test_unknown_stack(self, tree):
        result = self.install(tree, 'upstream')
        assert (result.returncode, result.stderr) == (
            1,
            'error: no stack upstream; there are onedl and openmmlab\n',
        )

    @pytest.mark.parametrize(
        ('stack', 'venv', 'extras'),
        [((), '.venv', 'onedl,test'), (('openmmlab',), '.venv-openmmlab', 'openmmlab,test')],
        ids=['onedl', 'openmmlab'],
    )
    def test_each_stack_has_its_environment(self, tree, stack, venv, extras):
        python = self.environment(tree)
        result = self.install(tree, *stack, PYTHON=str(python))
        assert result.returncode == 0, result.stderr
        assert [path.name for path in tree.glob('.venv*')] == [venv]
        assert (tree / venv / '.installed').read_text().strip() == str(tree.resolve())
        assert self.calls(tree, 'pip install')[0].endswith(f'-e .[{extras}]')

    def environment(self, tree, pip=':'):
        """A Python whose ``venv`` makes an environment of stand-ins, and logs each call."""
        body = f"""
echo "$*" >> {tree}/log
case "$*" in
  *"-m venv"*)
    for venv; do :; done
    rm -rf "$venv"; mkdir -p "$venv/bin"; cp "$0" "$venv/bin/python";;
  *"-m pip install"*) {pip};;
esac"""
        return self.stand_in(tree / 'bin' / 'fake', body)

    def calls(self, tree, word):
        return [line for line in (tree / 'log').read_text().splitlines() if word in line]

    def test_installs_and_stamps(self, tree):
        python = self.environment(tree)
        result = self.install(tree, PYTHON=str(python))
        assert result.returncode == 0, result.stderr
        assert (tree / '.venv' / '.installed').read_text().strip() == str(tree.resolve())
        assert not (tree / '.venv' / '.installing').exists()

    def test_nothing_to_do_again_in_a_checkout_behind_a_symlink(self, tree):
        """The stamp and make must agree on the name of the place."""
        python = self.environment(tree)
        for name in ('Makefile', 'setup.py', 'pyproject.toml'):
            shutil.copy2(ROOT / name, tree)
        link = tree.parent / f'{tree.name}-link'
        link.symlink_to(tree)
        # As a shell that went there by the link.
        environment = {'PATH': f'{tree / "bin"}:/usr/bin:/bin', 'PWD': str(link)}
        make = ('make', '--no-print-directory', 'install', f'PYTHON={python}')
        assert 'installing' in run(*make, cwd=link, env=environment)
        assert 'installing' not in run(*make, cwd=link, env=environment)

    def test_empty_array_with_old_bash(self):
        """Before bash 4.4, `set -u` takes an empty array for an unset variable (macOS has 3.2)."""
        text = INSTALLER.read_text()
        assert '"${quiet[@]}"' not in text.replace('${quiet[@]+"${quiet[@]}"}', '')

    def test_existing_environment_is_kept(self, tree):
        python = self.environment(tree)
        self.install(tree, PYTHON=str(python))
        self.install(tree, PYTHON=str(python))
        assert len(self.calls(tree, '-m venv')) == 1
        assert len(self.calls(tree, '-m pip install')) == 2

    def test_cut_off_install_starts_anew(self, tree):
        """Half-copied packages look installed to pip, so the environment is not trusted."""
        python = self.environment(tree, pip='kill -9 $PPID; exit 9')
        assert self.install(tree, PYTHON=str(python)).returncode != 0
        assert not (tree / '.venv' / '.installed').exists()
        python = self.environment(tree)
        result = self.install(tree, PYTHON=str(python))
        assert result.returncode == 0, result.stderr
        assert len(self.calls(tree, '-m venv --clear')) == 2
        assert (tree / '.venv' / '.installed').exists()

    def test_missing_system_library_fails_each_time(self, tree):
        """The packages are in place; the stamp waits for the system's part."""
        python = self.environment(tree)
        check = '  "-") echo "error: needs X" >&2; exit 1;;\nesac'
        python.write_text(python.read_text().replace('esac', check))
        for _ in range(2):
            result = self.install(tree, PYTHON=str(python))
            assert result.returncode == 1
            assert result.stderr == 'error: needs X\n'
            assert not (tree / '.venv' / '.installed').exists()
        assert len(self.calls(tree, '-m venv')) == 1


def test_make_runs_the_installer_only_when_needed(tmp_path):
    shutil.copy2(ROOT / 'Makefile', tmp_path)
    for name in ('setup.py', 'pyproject.toml'):
        (tmp_path / name).write_text('')
    (tmp_path / '.ci').mkdir()
    script = tmp_path / '.ci' / 'install'
    script.write_text(
        '#!/bin/sh\nvenv=.venv${1:+-$1}; mkdir -p $venv/bin; pwd > $venv/.installed\n'
        'echo "#!/bin/sh" > $venv/bin/python; chmod +x $venv/bin/python; echo installing $venv\n'
    )
    script.chmod(0o755)
    make = ('make', '--no-print-directory', 'install')
    assert 'installing' in run(*make, cwd=tmp_path)
    assert 'installing' not in run(*make, cwd=tmp_path)
    os.utime(tmp_path / 'setup.py', (2**31 - 10, 2**31 - 10))
    assert 'installing' in run(*make, cwd=tmp_path)
    os.utime(tmp_path / 'setup.py', (0, 0))
    # Each stack has a stamp of its own.
    other = (*make[:2], 'test-openmmlab')
    assert 'installing .venv-openmmlab' in run(*other, cwd=tmp_path)
    assert 'installing' not in run(*other, cwd=tmp_path)
    assert 'installing' not in run(*make, cwd=tmp_path)
    # An environment that came with a copy of the checkout points at the other place.
    shutil.copytree(tmp_path, tmp_path / 'copy')
    assert 'installing' in run(*make, cwd=tmp_path / 'copy')


@pytest.mark.slow
def test_make_install_for_real(tmp_path):
    """From nothing to an importable package, and nothing to do the second time."""
    tree = sources(tmp_path)
    shutil.copytree(ROOT / '.ci', tree / '.ci')
    shutil.copy2(ROOT / 'Makefile', tree)
    run('make', 'install', cwd=tree)
    code = 'import mmssl_prior, torch, torchvision; print(mmssl_prior.__file__)'
    place = run(tree / '.venv' / 'bin' / 'python', '-c', code, cwd='/')
    assert str(tree / 'mmssl_prior') in place
    assert 'installing' not in run('make', 'install', cwd=tree)
    shutil.rmtree(tree / '.venv')

"""The line after Ctrl-C names the very run: environment, launcher, options."""

import sys
from types import SimpleNamespace

import pytest

from mmssl_prior.cli.train import _resume_hint, build_config, parse_args
from mmssl_prior.config import package_root
from tests.smoke import ROOT

CONFIG = str(ROOT / 'configs/pmsn/pmsn_vit-mini_digits-lt.py')


@pytest.fixture
def work_dir(tmp_path):
    (tmp_path / 'last_checkpoint').write_text('epoch_1.pth')
    return str(tmp_path)


def hint(work_dir, *arguments):
    args = parse_args([CONFIG, '--work-dir', work_dir, *arguments])
    return _resume_hint(args, build_config(args))


def test_one_process(work_dir, monkeypatch):
    monkeypatch.delenv('SEED', raising=False)
    expected = f'python tools/train.py {CONFIG} --work-dir {work_dir} --resume'
    assert hint(work_dir) == f'interrupted; to continue: {expected}'


def test_variables_that_the_config_reads(work_dir, monkeypatch):
    """Resumed without its SEED, a run would go on with other classes frequent."""
    monkeypatch.setenv('SEED', '3')
    monkeypatch.setenv('UNRELATED', '1')
    assert ': SEED=3 python tools/train.py' in hint(work_dir)


def test_ranks(work_dir, monkeypatch):
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '8')
    text = hint(work_dir, '--launcher', 'pytorch', '--cfg-options', 'model.patch_drop=0.5')
    assert f'bash tools/dist_train.sh {CONFIG} 8 --work-dir' in text
    assert text.endswith('--resume --cfg-options model.patch_drop=0.5')


def test_ranks_on_several_machines(work_dir, monkeypatch):
    """Rank 0 says it, so the number of the machine is that of the first."""
    for name, value in (('LOCAL_WORLD_SIZE', 4), ('NNODES', 2), ('NODE_RANK', 0), ('PORT', 1234)):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv('MASTER_ADDR', 'node1')
    text = hint(work_dir, '--launcher', 'pytorch')
    assert ': NNODES=2 NODE_RANK=0 MASTER_ADDR=node1 PORT=1234 bash tools/dist_train.sh' in text


@pytest.mark.parametrize('module', ['mmssl_prior.tools.train', 'mmssl_prior.cli.train'])
def test_started_as_a_module(work_dir, monkeypatch, module):
    """From a wheel there is no tools/ folder to name."""
    spec = SimpleNamespace(name=module)
    monkeypatch.setattr(sys.modules['__main__'], '__spec__', spec)
    assert f': python -m {module} {CONFIG} --work-dir' in hint(work_dir)
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '2')
    script = package_root() / 'tools' / 'dist_train.sh'
    assert f': bash {script} {CONFIG} 2 --work-dir' in hint(work_dir, '--launcher', 'pytorch')


def test_started_as_a_script_elsewhere(work_dir, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['/opt/a b/tools/train.py', CONFIG])
    assert f": python '/opt/a b/tools/train.py' {CONFIG} --work-dir" in hint(work_dir)


def test_nothing_to_resume(tmp_path):
    assert hint(str(tmp_path)) == 'interrupted before the first checkpoint was written'

"""``tools/train.py`` on a task of one second: as a subprocess where the process is the subject."""

import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import OPTIM_WRAPPERS

from mmssl_prior.cli.train import _apply_amp, main
from mmssl_prior.errors import UserError
from tests.processes import run_script

ROOT = Path(__file__).resolve().parents[2]
TOYS = ROOT / 'tests' / 'toys'
CONFIG = TOYS / 'toy_config.py'
NAMES = (f'toy{count}' for count in itertools.count())


def environment(**extra):
    """The package of this checkout, and the toys, whatever is installed."""
    paths = [str(ROOT), str(TOYS)]
    # The ranks of the tests share the machine's few cores.
    return {**os.environ, 'PYTHONPATH': os.pathsep.join(paths), 'OMP_NUM_THREADS': '1', **extra}


def train(work_dir, *arguments, config=CONFIG, cwd=ROOT):
    where = () if work_dir is None else ('--work-dir', work_dir)
    script = ROOT / 'tools' / 'train.py'
    return run_script(script, config, *where, *arguments, env=environment(), cwd=cwd)


@pytest.fixture
def train_here(tmp_path, capsys, monkeypatch):
    """The same in this process: exit status and stderr, without the seconds of a start."""
    monkeypatch.syspath_prepend(TOYS)
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv('LOCAL_RANK', '0')

    def run(*arguments, config=CONFIG):
        # MMEngine keeps loggers by the name and second of the experiment; runs here are faster.
        name = f'experiment_name={next(NAMES)}'
        flags = ['--work-dir', str(tmp_path), *arguments, '--cfg-options', name]
        status = main([str(config), *flags])
        return status, capsys.readouterr().err

    return run


def weights(path):
    return torch.load(path, weights_only=False)['state_dict']


def test_work_dir_defaults_to_the_name_of_the_config(tmp_path):
    command = [sys.executable, str(ROOT / 'tools' / 'train.py'), str(CONFIG)]
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment(), cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ''
    assert (tmp_path / 'work_dirs' / 'toy_config' / 'epoch_2.pth').is_file()


def test_module_is_the_same_command(tmp_path):
    """The way to start it where there is no checkout."""
    result = subprocess.run(
        [sys.executable, '-m', 'mmssl_prior.tools.train', str(CONFIG), '--work-dir', str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=tmp_path,
    )
    assert (result.returncode, result.stderr) == (0, '')
    assert (tmp_path / 'epoch_2.pth').is_file()


@pytest.mark.parametrize('tool', ['train', 'test', 'demo_report'])
def test_tool_with_a_python_that_lacks_the_package(tool, tmp_path):
    # -S: without the installed packages.
    command = [sys.executable, '-S', '-E', str(ROOT / 'tools' / f'{tool}.py'), str(CONFIG)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 1
    message = rf'error: mmssl_prior is not installed for .*: make install.*{tool}\.py.* -e \.\n'
    assert re.fullmatch(message, result.stderr), result.stderr


@pytest.mark.parametrize('tool', ['train', 'test', 'demo_report'])
@pytest.mark.parametrize(
    ('source', 'ending'),
    [
        ("raise ImportError('the gate', name='mmssl_prior')", 'error: the gate\n'),
        ('import no_such_thing', "ModuleNotFoundError: No module named 'no_such_thing'\n"),
    ],
    ids=['gate', 'bug'],
)
def test_tool_with_another_import_error(tool, source, ending, tmp_path):
    (tmp_path / 'mmssl_prior').mkdir()
    (tmp_path / 'mmssl_prior' / '__init__.py').write_text(source)
    result = subprocess.run(
        [sys.executable, str(ROOT / 'tools' / f'{tool}.py'), str(CONFIG)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(tmp_path)},
    )
    assert result.returncode == 1
    assert result.stderr.endswith(ending)
    assert (result.stderr == ending) == ending.startswith('error')


def test_what_runs_is_the_config(train_here, tmp_path):
    """The dumped config is the file plus the flags, and nothing else."""
    assert train_here('--cfg-options', 'train_cfg.max_epochs=1')[0] == 0
    ran = Config.fromfile(tmp_path / 'toy_config.py', import_custom_modules=False).to_dict()
    expected = Config.fromfile(CONFIG, import_custom_modules=False).to_dict()
    expected['train_cfg']['max_epochs'] = 1
    expected.update(work_dir=str(tmp_path), launcher='none')
    assert ran.pop('experiment_name').startswith('toy')
    assert ran == expected


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--cfg-options', 'model.widht=3'), r'did you mean model\.width\?'),
        (
            ('--cfg-options', 'width=3'),
            r'override model\.width, train_dataloader\.dataset\.width;',
        ),
        (('--cfg-options', '+model.widht=3'), r"model: ToyModel has no argument 'widht'"),
        (('--cfg-options', 'model.width=0'), r'ToyModel: width must be positive, got 0'),
        (('--cfg-options', '+randomness.sede=1'), r"randomness: no key 'sede'.*mean 'seed'"),
        (('--resume', 'gone.pth'), r'resume gone\.pth: no such file'),
        (('--cfg-options', 'load_from=setup.py'), r'load_from setup\.py: not a readable'),
        (('--launcher', 'pytorch'), r'bash tools/dist_train\.sh CONFIG GPUS'),
        (
            ('--cfg-options', '+train_dataloader.dataset.missing=/no/such/folder/images.json'),
            r'/no/such/folder/images\.json',
        ),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else '',
)
def test_mistake_is_one_line(train_here, arguments, message):
    status, text = train_here(*arguments)
    assert status == 1
    assert re.fullmatch(rf'error: .*{message}.*\n', text), text


def test_mistake_ends_the_process_with_one_line(tmp_path):
    result = train(tmp_path, '--cfg-options', 'model.widht=3')
    assert result.returncode == 1
    assert re.fullmatch(r'error: .*did you mean model\.width\?.*\n', result.stderr), result.stderr


def test_schedule_that_does_not_end_with_the_training_is_warned_of(tmp_path):
    result = train(tmp_path, '--cfg-options', '+param_scheduler.0.end=1')
    assert result.returncode == 0, result.stderr
    assert result.stdout.count('max_epochs is 2 but the last param_scheduler ends at 1') == 1


def test_missing_config_is_one_line(train_here):
    status, text = train_here(config=TOYS / 'toy_confg.py')
    assert status == 1
    assert re.fullmatch(r'error: .*did you mean .*toy_config\.py\?\)\n', text), text


@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without a GPU')
def test_amp_without_gpu_is_one_line(train_here):
    assert train_here('--amp') == (1, 'error: --amp needs a GPU, and none is visible\n')


@pytest.mark.parametrize(
    ('wrapper', 'mixed'),
    [
        ('OptimWrapper', 'AmpOptimWrapper'),
        ('AmpOptimWrapper', 'AmpOptimWrapper'),
        ('GroupClipOptimWrapper', 'GroupClipAmpOptimWrapper'),
    ],
)
def test_amp_takes_the_mixed_precision_wrapper(monkeypatch, wrapper, mixed):
    monkeypatch.setattr('mmssl_prior.cli.train.get_device', lambda: 'cuda')
    clip = dict(max_norm=3.0)
    cfg = Config(dict(optim_wrapper=dict(type=wrapper, clip_grad=clip)))
    _apply_amp(cfg)
    assert cfg.optim_wrapper == dict(type=mixed, clip_grad=clip, loss_scale='dynamic')
    assert mixed in OPTIM_WRAPPERS


def test_amp_keeps_the_loss_scale_of_the_config(monkeypatch):
    monkeypatch.setattr('mmssl_prior.cli.train.get_device', lambda: 'cuda')
    cfg = Config(dict(optim_wrapper=dict(loss_scale=512.0)))
    _apply_amp(cfg)
    assert cfg.optim_wrapper == dict(type='AmpOptimWrapper', loss_scale=512.0)


def test_amp_with_a_wrapper_that_has_none(monkeypatch):
    monkeypatch.setattr('mmssl_prior.cli.train.get_device', lambda: 'cuda')
    with pytest.raises(UserError, match='the optim_wrapper ApexOptimWrapper has no mixed'):
        _apply_amp(Config(dict(optim_wrapper=dict(type='ApexOptimWrapper'))))


def test_bug_keeps_its_traceback(train_here):
    status, text = train_here('--cfg-options', '+train_dataloader.dataset.broken=True')
    assert status == 1
    assert text.startswith('Traceback')
    assert text.endswith('ZeroDivisionError: a bug in the data set\n')


def test_checkpoint_of_another_model(train_here, tmp_path):
    file = tmp_path / 'other.pth'
    torch.save({'state_dict': {'encoder.weight': torch.zeros(3)}}, file)
    status, text = train_here('--cfg-options', f'load_from={file}')
    assert status == 1
    message = r'error: load_from .*the checkpoint has encoder\.weight; the model expects line\..*\n'
    assert re.fullmatch(message, text), text


def test_interrupt_tells_how_to_go_on(tmp_path, train_here):
    """The command of the message finishes the training, and nothing of it is lost."""
    assert train_here()[0] == 0
    whole = weights(tmp_path / 'epoch_2.pth')
    (tmp_path / 'epoch_2.pth').unlink()
    hook = ['custom_hooks.0.type=Interrupt', '+custom_hooks.0.after=6']
    result = train(tmp_path, '--cfg-options', *hook)
    assert result.returncode == 130
    match = re.fullmatch(r'interrupted; to continue: python (.* --resume .*)\n', result.stderr)
    assert match, result.stderr
    # The hook would interrupt again.
    arguments = [word.replace('after=6', 'after=99') for word in shlex.split(match.group(1))]
    again = run_script(*arguments, env=environment(), cwd=ROOT)
    assert again.returncode == 0, again.stderr
    assert 'resumed epoch: 1' in again.stdout
    torch.testing.assert_close(weights(tmp_path / 'epoch_2.pth'), whole, rtol=0, atol=0)


def test_interrupt_before_the_first_checkpoint(train_here):
    hook = ['custom_hooks.0.type=Interrupt', '+custom_hooks.0.after=1']
    expected = 'interrupted before the first checkpoint was written\n'
    assert train_here('--cfg-options', *hook) == (130, expected)


def test_help_names_the_way_to_add_a_key(capsys):
    with pytest.raises(SystemExit) as ended:
        main(['--help'])
    assert ended.value.code == 0
    assert '+model.head.temperature=0.2' in capsys.readouterr().out.replace('\n', ' ')

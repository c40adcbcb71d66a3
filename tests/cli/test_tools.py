"""``print_config``, ``browse_dataset`` and ``analyze_logs`` as their users run them."""

import json
import os
import re
import subprocess
import sys

import pytest
from mmengine.config import Config
from PIL import Image

from mmssl_prior.cli import analyze_logs, browse_dataset, print_config
from tests.miniatures import make_inaturalist2018
from tests.smoke import ROOT

MAIN = 'configs/pmsn/pmsn_vit-b16_inat18.py'
MINI = 'configs/pmsn/pmsn_vit-mini_digits-lt.py'


def run(tool, *arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, str(ROOT / 'tools' / f'{tool}.py'), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
    )


@pytest.fixture
def here(capsys, monkeypatch):
    """The same in this process: exit status, output and errors, without the seconds of a start."""
    monkeypatch.chdir(ROOT)

    def main(module, *arguments):
        status = module.main([*map(str, arguments)])
        return status, *capsys.readouterr()

    return main


def test_print_config_prints_what_would_run(tmp_path):
    """Its output is a config file that is the same config."""
    result = run('print_config', MINI, '--cfg-options', 'train_cfg.max_epochs=3')
    assert result.returncode == 0, result.stderr
    (tmp_path / 'printed.py').write_text(result.stdout)
    printed, expected = Config.fromfile(tmp_path / 'printed.py'), Config.fromfile(ROOT / MINI)
    assert printed.train_cfg.max_epochs == 3
    expected.train_cfg.max_epochs = 3
    assert printed.to_dict() == expected.to_dict()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('gone.py',), r'config gone\.py.*: no such file'),
        ((MINI, '--cfg-options', 'model.hed=1'), r'did you mean model\.head\?'),
        ((MINI, '--cfg-options', '+model.head.temprature=1'), r"no argument 'temprature'"),
    ],
)
def test_print_config_finds_mistakes(here, arguments, message):
    status, out, err = here(print_config, *arguments)
    assert status == 1
    assert re.fullmatch(rf'error: .*{message}.*\n', err), err
    # A wrong argument is shown in its place, so that its origin can be found.
    assert ('temprature=1' in out) == ('temprature' in message)


def test_browse_dataset_draws_the_twelve_views(tmp_path):
    data = make_inaturalist2018(tmp_path / 'inat', size=(160, 120))
    option = f'train_dataloader.dataset.data_root={data}'
    out = tmp_path / 'out'
    result = run('browse_dataset', MAIN, '--out', out, '-n', 2, '--cfg-options', option)
    assert result.returncode == 0, result.stderr
    files = sorted(out.iterdir())
    assert result.stdout.split()[-2:] == list(map(str, files)) and len(files) == 2
    for file in files:
        with Image.open(file) as image:
            # 299 + 26 + 2 x 224 + 10 + 26 + 5 x 97 and margins: all in one strip.
            assert image.size[1] == 306 and 1300 < image.size[0] < 1400


def test_browse_dataset_names_the_views():
    def names(model, count):
        return browse_dataset.view_names(Config(dict(model=dict(type=model))), count)

    assert names('MSN', 12)[:4] == ['target', 'anchor', 'focal 1', 'focal 2']
    assert names('MSN', 12)[-1] == 'focal 10'
    assert names('SimCLR', 2) == ['view 1', 'view 2']
    assert names('MAE', 1) == ['view']


@pytest.mark.parametrize(('phase', 'epoch'), [('train', 3), ('val', 1), ('bank', 1)])
def test_browse_dataset_of_every_phase(here, tmp_path, phase, epoch):
    arguments = (MINI, '--phase', phase, '--epoch', epoch, '-n', 3, '--out', tmp_path / phase)
    status, _, err = here(browse_dataset, *arguments)
    assert (status, err) == (0, '')
    assert len(list((tmp_path / phase).glob('*.png'))) == 3


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((MINI, '--phase', 'test'), r'no test_dataloader for --phase test'),
        ((MINI, '-n', '0'), r'number of images must be at least 1, got 0'),
        ((MINI, '--epoch', '0'), r'epochs are counted from 1, got 0'),
        ((MINI, '--out', 'setup.py'), r'--out setup\.py is not a folder'),
        ((MAIN,), r'data/inaturalist2018'),
    ],
)
def test_browse_dataset_finds_mistakes(here, tmp_path, monkeypatch, arguments, message):
    if '--out' not in arguments:
        arguments = (*arguments, '--out', tmp_path)
    status, _, err = here(browse_dataset, *arguments)
    assert status == 1
    assert re.fullmatch(rf'error: .*{message}.*\n', err), err


@pytest.fixture
def runs(tmp_path):
    """Two runs of four epochs of ten iterations, with a validation."""
    for number, name in enumerate(('one', 'two')):
        folder = tmp_path / name / '20200101_000000' / 'vis_data'
        folder.mkdir(parents=True)
        lines = [
            dict(loss=4.0 - i / 10, time=0.1 + number, epoch=1 + i // 10, iter=i + 1, step=i + 1)
            for i in range(4, 40, 5)
        ]
        lines.append(dict(knn_top1=0.5, step=4))
        (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    return tmp_path / 'one', tmp_path / 'two'


def test_analyze_logs_draws_curves(tmp_path, runs):
    out = tmp_path / 'pictures' / 'curves.png'
    result = run('analyze_logs', 'plot_curve', *runs, '--keys', 'loss', 'knn_top1', '--out', out)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == str(out)
    with Image.open(out) as image:
        assert image.width > image.height


def test_analyze_logs_prints_times(here, runs):
    status, out, err = here(analyze_logs, 'cal_train_time', *runs)
    assert (status, err) == (0, '')
    assert f'{runs[0]}: 40 iterations\n' in out
    assert '  fastest epoch 1: 1.1000 s/iter\n' in out
    assert out.endswith('  mean: 1.1000 s/iter, 0% waiting for data\n')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--keys', 'los'), r'--keys los: not logged by one; it has knn_top1, loss, time'),
        (('--legend', 'a', 'b'), r'--legend has 2 names for 1 runs'),
        (('--out', 'setup.py/x.png'), r'--out setup\.py/x\.png: '),
        (('--out', 'x.docx'), r"--out x\.docx: Format 'docx' is not supported"),
    ],
)
def test_analyze_logs_finds_mistakes(here, runs, arguments, message):
    status, _, err = here(analyze_logs, 'plot_curve', runs[0], *arguments)
    assert status == 1
    assert re.fullmatch(rf'error: .*{message}.*\n', err), err


def test_analyze_logs_without_a_log(here, tmp_path):
    for task in ('plot_curve', 'cal_train_time'):
        status, _, err = here(analyze_logs, task, tmp_path)
        assert status == 1
        assert re.fullmatch(r'error: .*no \*/vis_data/scalars\.json.*\n', err), err


def test_runs_of_one_name_are_told_apart(here, runs, tmp_path):
    files = [run / '20200101_000000/vis_data/scalars.json' for run in runs]
    status, _, err = here(analyze_logs, 'plot_curve', *files, '--out', tmp_path / 'x.png')
    assert (status, err) == (0, '')
    status, _, err = here(analyze_logs, 'plot_curve', files[0], files[0])
    assert status == 1 and 'two runs have one name' in err

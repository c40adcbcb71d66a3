"""``tools/suggest_prior.py``: from counts, labels and images to lines of a config."""

import json
import subprocess
import sys

import pytest
from mmengine.config import Config
from mmpretrain.registry import MODELS
from PIL import Image

from mmssl_prior.cli.suggest_prior import main
from mmssl_prior.config import load_config
from tests.smoke import ROOT

MINI = 'configs/pmsn/pmsn_vit-mini_patterns-lt.py'


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)

    def call(*arguments, out='out'):
        status = main([*map(str, arguments), '--out', str(tmp_path / out)])
        return status, capsys.readouterr()

    call.result = lambda out='out': json.loads((tmp_path / out / 'prior.json').read_text())
    return call


@pytest.mark.parametrize('counts', [('120', '60', '41', '30', '22'), ('120,60,41,30,22',), 'file'])
def test_counts(run, tmp_path, counts):
    if counts == 'file':
        (tmp_path / 'a.json').write_text('[120, 60, 41, 30, 22]')
        counts = (tmp_path / 'a.json',)
    status, said = run('counts', *counts, '--prototypes', 5)
    assert status == 0, said.err
    assert '273 images of 5 of 5 classes, from 22 to 120 images' in said.out
    result = run.result()
    fit, suggestion = result['fit'], result['suggestion']
    assert fit['power_law']['low'] < 1 < fit['power_law']['high']
    assert [law['law'] for law in fit['laws']] == [
        'uniform', 'power law', 'exponential', 'empirical',
    ]  # fmt: skip
    # As many prototypes as classes: nothing is lost in between.
    assert suggestion['exponent'] == pytest.approx(fit['power_law']['estimate'], abs=0.006)
    assert (tmp_path / 'out/prior.png').stat().st_size > 10_000
    assert (tmp_path / 'out/class_counts.txt').read_text().split() == '120 60 41 30 22'.split()


def test_the_lines_are_a_config(run, tmp_path):
    """Pasted behind a base, each is the prior that was suggested."""
    status, said = run('labels', MINI, '--prototypes', 64)
    assert status == 0 and '2400 images of 16 of 16 classes' in said.out
    result = run.result()
    assert result['fit']['power_law']['estimate'] == pytest.approx(1, abs=0.02)
    priors = []
    for number, line in enumerate(result['suggestion']['lines']):
        assert line in said.out
        path = tmp_path / f'pasted{number}.py'
        path.write_text(f'_base_ = [{str(ROOT / MINI)!r}]\n{line}\n')
        cfg = load_config(str(path))
        cfg.model.head.num_prototypes = 64
        priors.append(MODELS.build(cfg.model.head).log_prior.exp())
    power_law, empirical = priors
    exponent = result['suggestion']['exponent']
    assert float(power_law[0] / power_law[-1]) == pytest.approx(64**exponent, rel=1e-3)
    assert float(empirical[0] / empirical[-1]) == pytest.approx(710 / 44, rel=1e-3)


def test_labels_of_a_folder_and_of_a_dataset(run, tmp_path):
    for name, count in (('cat', 6), ('dog', 3)):
        (tmp_path / 'data' / name).mkdir(parents=True)
        for i in range(count):
            kind = 'webp' if i % 3 else 'png'
            Image.new('RGB', (8, 8)).save(tmp_path / 'data' / name / f'{i}.{kind}')
    assert run('labels', tmp_path / 'data')[0] == 0
    assert run.result()['fit']['counts'] == [6, 3]
    status, said = run('labels', 'DigitsLT', '--data-options', 'exponent=0', 'num_images=500')
    assert status == 0 and 'as far as can be told' in said.out
    assert run.result()['fit']['power_law']['low'] == 0


def test_images(run, tmp_path, monkeypatch):
    command = ['images', 'DigitsLT', '--data-options', 'images_per_class=1', 'exponent=1.0']
    command += ['--encoder', 'pixels', '--max-images', 150, '--halves', 2, '--workers', 0]
    command += ['--components', 12, '--granularities', 8, '--prototypes', 32]
    status, said = run(*command)
    assert status == 0, said.err
    assert 'features of 150 images, a random part of 505, by pixels' in said.out
    result = run.result()
    names = [entry['estimator'] for entry in result['estimates']]
    assert names == [
        'k-means, 8', 'mixture, spherical', 'mixture, diagonal', 'density (HDBSCAN)',
    ]  # fmt: skip
    assert result['suggestion']['verdict'] in said.out and result['of'] == 505
    first = (tmp_path / 'out/prior.png').read_bytes()
    # The features are there; the answer is the same.
    from mmssl_prior.evaluation import feature_store

    monkeypatch.setattr(feature_store, 'extract', lambda *_: pytest.fail('extracted again'))
    assert run(*command)[0] == 0
    assert run.result() == result and (tmp_path / 'out/prior.png').read_bytes() == first


def test_images_of_a_folder_by_a_model_of_timm(run, tmp_path):
    (tmp_path / 'data').mkdir()
    for i in range(60):
        colour = ((90, 10, 10), (10, 200, 10), (10, 10, 90))[0 if i < 36 else 1 if i < 50 else 2]
        Image.new('RGB', (20, 24), tuple(c + i % 7 for c in colour)).save(
            tmp_path / 'data' / f'{i}.png'
        )
    (tmp_path / 'data' / 'broken.png').write_bytes(b'no image')
    status, said = run(
        'images', tmp_path / 'data', '--encoder', 'timm:test_vit', '--halves', 2, '--workers', 0,
        '--components', 6, '--granularities', 3,
    )  # fmt: skip
    assert status == 0, said.err
    assert 'timm:test_vit: random weights, no checkpoint was named' in said.out
    assert 'note: the encoder has random weights, which know no classes' in said.out
    assert '1 images cannot be decoded and are left out' in said.out
    assert run.result()['images'] == 60


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('counts', 'gone.txt'), 'gone.txt: no such file'),
        (('counts', '3', 'x'), "entry 1 (counted from 0) is 'x': expected whole numbers"),
        (('counts', '²', '3'), "entry 0 (counted from 0) is '²': expected whole numbers"),
        (('counts', '3'), '1 classes have images'),
        (('labels', 'NoData'), 'neither a folder, a config (.py) nor the name of a dataset class'),
        (('labels', 'gone.py'), 'gone.py: no such file'),
        (('labels', 'gone.json'), 'gone.json: no such file'),
        (('labels', 'empty'), 'no subfolders that could be classes: tools/suggest_prior.py images'),
        (('labels', 'hollow'), 'hollow: no image in its 1 subfolders (looked for .bmp'),
        (('counts', '3', '9' * 20), 'expected a whole number of images from 0 to 1e+12'),
        (('labels', 'DigitsLT', '--data-options', 'exponnt=1'), "has no argument 'exponnt'"),
        (('labels', 'DigitsLT', '--data-options', 'exponent'), 'exponent: expected KEY=VALUE'),
        (('labels', 'DigitsLT', '--data-options', 'exponent=-1'), 'exponent must be a finite'),
        (('images', 'empty', '--encoder', 'pixels'), 'no image below'),
        (('images', 'DigitsLT', '--encoder', 'gone.pth'), 'gone.pth: no such file'),
        (('images', 'DigitsLT', '--encoder', 'timm:nope'), "has no model 'nope'"),
    ],
)
def test_mistakes(run, tmp_path, arguments, message):
    if arguments[1] in ('empty', 'hollow'):
        folder = tmp_path / arguments[1]
        (folder / 'cat' if folder.name == 'hollow' else folder).mkdir(parents=True)
        arguments = (arguments[0], folder, *arguments[2:])
    status, said = run(*arguments)
    assert status == 1 and said.err.startswith('error: ') and said.err.count('\n') == 1
    assert message in said.err


def test_out_is_a_file(run, tmp_path):
    (tmp_path / 'taken').write_text('')
    status, said = run('counts', 3, 2, out='taken')
    assert status == 1 and 'taken is no folder to write to' in said.err


@pytest.mark.parametrize(
    'arguments',
    [
        ('counts', '3', '2', '--prototypes', '1'),
        ('counts', '3', '2', '--seed', '-1'),
        ('images', '.', '--encoder', 'pixels', '--max-images', '10'),
        ('images', '.', '--encoder', 'pixels', '--halves', '1'),
        ('images', '.', '--encoder', 'pixels', '--batch-size', '0'),
    ],
)
def test_wrong_numbers(arguments):
    with pytest.raises(SystemExit):
        main(arguments)


def test_the_script(tmp_path):
    result = subprocess.run(
        [sys.executable, str(ROOT / 'tools/suggest_prior.py'), 'counts', '9', '3', '1']
        + ['--out', str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert "type='PowerLawPrior', exponent=" in result.stdout
    assert Config(run_json(tmp_path)).suggestion.num_prototypes == 1024


def run_json(folder):
    return json.loads((folder / 'prior.json').read_text())

"""``tools/analyze.py``: folders, labels, mistakes; as a command once."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from mmssl_prior.cli.analyze import main, parse_args
from mmssl_prior.insight import open_data
from mmssl_prior.insight.analyzed_data import encoder_steps
from tests.evaluation.checkpoints import MSN, save_checkpoint
from tests.smoke import ROOT

FEW = ('--workers', '0', '--layout', 'pca', '--points', '20', '--gallery', '3')
WAITING = dict(MSN, head=dict(MSN['head'], prior=dict(type='EmpiricalPrior')))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Images in two subfolders, sizes differ, one is broken; and two checkpoints."""
    root = tmp_path_factory.mktemp('analyze')
    rng = np.random.default_rng(0)
    for i in range(24):
        kind = 'cat' if i % 3 else 'dog'
        path = root / 'images' / kind / f'{i:02d} é.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 120, (40 + i, 50, 3), dtype=np.uint8) + 100 * (i % 3 > 0)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    (root / 'images' / 'cat' / 'broken.png').write_bytes(b'no image')
    save_checkpoint(root / 'run' / 'epoch_3.pth', MSN)
    save_checkpoint(root / 'waiting' / 'epoch_3.pth', WAITING)
    return root


def results(out):
    return json.loads((out / 'results.json').read_text())


def test_a_folder_without_labels(folder, tmp_path):
    command = [sys.executable, str(ROOT / 'tools/analyze.py'), str(folder / 'run/epoch_3.pth')]
    command += ['--data', str(folder / 'images'), '--out', str(tmp_path / 'out'), *FEW]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'k-means with 2 clusters' in done.stdout and 'report.html' in done.stdout
    assert 'All images go to one prototype' in done.stdout
    found = results(tmp_path / 'out')
    assert found['data'] == dict(title='images', images=25, of=25, skipped=1, classes=None)
    model = found['models'][0]
    assert sum(model['prototypes']['counts']) == 24 and 'purity' not in model['clusterings'][0]
    page = (tmp_path / 'out' / 'report.html').read_text()
    # By position in the dataset, where the broken one has a place too.
    assert 'broken.png' not in page and 'cat/01 é.png' in page


def test_subfolders_as_classes_and_a_prior_that_waits_for_them(folder, tmp_path):
    out = tmp_path / 'out'
    arguments = [str(folder / 'waiting/epoch_3.pth'), '--data', str(folder / 'images'), *FEW]
    assert main([*arguments, '--labelled', '--clusters', '2', '--out', str(out)]) == 0
    found = results(out)
    names = [(entry['name'], entry['images']) for entry in found['data']['classes']]
    assert names == [('cat', 17), ('dog', 8)]
    model = found['models'][0]
    # The brightness of the images tells the classes apart.
    assert [entry['name'] for entry in model['clusterings']] == ['prototypes', 'k-means 2']
    prior = np.array([17 / 25] * 5 + [8 / 25] * 5).reshape(5, 2).sum(1) / 5
    np.testing.assert_allclose(model['prototypes']['prior'], prior, atol=1e-5)
    # Without labels that prior is unknown, which is no error.
    assert main([*arguments, '--out', str(tmp_path / 'unlabelled')]) == 0
    assert results(tmp_path / 'unlabelled')['models'][0]['prototypes']['prior'] is None


def test_a_sample_of_the_images(folder):
    data = open_data(str(folder / 'images'), images=10)
    assert (len(data), data.total) == (10, 25)
    everything = open_data(str(folder / 'images'))
    names = [everything.name(index) for index in data.kept]
    assert [data.name(i) for i in range(10)] == names
    assert data.kept == open_data(str(folder / 'images'), images=10).kept
    assert data.kept != open_data(str(folder / 'images'), images=10, seed=1).kept


def test_an_encoder_brings_its_own_transforms(folder):
    from mmengine import Config

    steps = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=32), dict(type='PackInputs')]
    wrapped = dict(type='RepeatDataset', dataset=dict(type='X', pipeline=steps))
    cfg = Config(dict(val_dataloader=dict(dataset=wrapped)))
    assert encoder_steps(cfg, 224) == steps
    dataset = open_data(str(folder / 'images')).with_steps(steps)
    kinds = [type(step).__name__ for step in dataset.pipeline.transforms]
    # Ours, which survives a broken file, in place of the stock one.
    assert kinds == ['LoadImage', 'Resize', 'PackInputs']
    assert dataset[0]['inputs'].shape == torch.Size([3, 32, 32])


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--data', 'nowhere'], 'nowhere is neither a folder nor a config file'),
        (['--data', 'images/cat', '--labelled'], 'no subfolders that could be classes'),
        (['--data', 'hollow', '--labelled'], 'hollow: no image in its 1 subfolders'),
        (['--data', 'images', '--out', 'images/cat/broken.png'], 'is not a folder'),
        (['--data', 'images', '--clusters', '99'], '99 clusters of 25 images'),
        (['--data', 'empty.py'], 'no train_dataloader.dataset to look at'),
        (['--data', 'empty.py', '--labelled'], '--labelled is for a folder'),
        (['--data', 'joined.py'], 'joins 2 datasets'),
    ],
)
def test_mistakes_are_one_line(folder, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(folder)
    (folder / 'empty.py').write_text('x = 1\n')
    (folder / 'hollow/cat').mkdir(parents=True, exist_ok=True)
    parts = 'dict(type="ConcatDataset", datasets=[dict(type="A"), dict(type="B")])'
    (folder / 'joined.py').write_text(f'train_dataloader = dict(dataset={parts})\n')
    out = [] if '--out' in arguments else ['--out', str(tmp_path / 'out')]
    assert main(['run/epoch_3.pth', *arguments, *out, *FEW]) == 1
    shown = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error')]
    assert len(shown) == 1 and words in shown[0]


@pytest.mark.parametrize(
    'wrong',
    [
        ['--points', '0'],
        ['--workers', '-1'],
        ['--clusters', '0'],
        ['--images', '0'],
        ['--seed', '-1'],
    ],
)
def test_numbers_that_are_none(wrong, capsys):
    with pytest.raises(SystemExit):
        parse_args(['x.pth', '--data', 'd', '--out', 'o', *wrong])
    assert re.search('at least|from 0', capsys.readouterr().err)

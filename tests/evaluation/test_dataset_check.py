"""``tools/check_dataset.py``: whole miniatures, and each kind of damage."""

import json
import shutil
import subprocess
import sys

import pytest

from mmssl_prior.cli.check_dataset import main
from mmssl_prior.evaluation.tasks import SEVEN, TASKS
from tests.miniatures import (
    make_cifar100,
    make_clevr,
    make_inaturalist2018,
    make_kitti,
    make_places205,
)
from tests.smoke import ROOT

MAKERS = {
    'inat18': make_inaturalist2018,
    'cifar100': make_cifar100,
    'clevr-count': make_clevr,
    'clevr-dist': make_clevr,
    'kitti-dist': make_kitti,
    'places205': make_places205,
}


@pytest.fixture
def check(tmp_path, capsys):
    def call(name, *damages, flags=()):
        root = MAKERS[name](tmp_path / name)
        for damage in damages:
            damage(root)
        status = main([name, '--data-root', str(root), *flags])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


@pytest.mark.parametrize('name', MAKERS)
def test_nothing_to_mend(check, name):
    status, out, err = check(name, flags=['--decode'])
    assert status == 0 and not err and f'{TASKS[name].title}: nothing to mend' in out
    full = TASKS[name].sizes
    assert f'images, the full data have {full[0]}' in out
    assert f'images, the full data have {full[1]}' in out
    if name != 'cifar100':
        assert 'test split: every image that exists can be decoded' in out


def test_counts_of_classes(check):
    _, out, _ = check('inat18')
    assert 'train split: 7 images of 3 of 8142 classes; images per class from 1 to 4, median 2' in (
        out
    )
    assert '8139 classes have no image: 1, 2, 3, 4, 5, ...' in out


PLACES = 'data/vision/torralba/deeplearning/images256/p'


def images_gone(root):
    for label in (0, 3, 204):
        for i in (0, 1):
            (root / PLACES / f'place_{label}' / f'gsun_train_{i}.jpg').unlink()


def cut_image(root):
    path = root / PLACES / 'place_3' / 'gsun_val_1.jpg'
    path.write_bytes(path.read_bytes()[:200])


def bad_line(root):
    path = root / 'trainvalsplit_places205/train_places205.csv'
    path.write_text(path.read_text() + 'no label\n')


def out_of_range(root):
    path = root / 'trainvalsplit_places205/val_places205.csv'
    path.write_text('p/place_0/gsun_val_0.jpg 205\n')


def twice(root):
    path = root / 'trainvalsplit_places205/train_places205.csv'
    path.write_text(path.read_text() * 2)


def overlap(root):
    lists = root / 'trainvalsplit_places205'
    line = (lists / 'train_places205.csv').read_text().splitlines()[0]
    (lists / 'val_places205.csv').write_text(line + '\n')


def list_gone(root):
    (root / 'trainvalsplit_places205/val_places205.csv').unlink()


@pytest.mark.parametrize(
    ('damage', 'messages'),
    [
        (
            images_gone,
            ['6 of 6 listed images do not exist: ', 'place_0/gsun_train_0.jpg, ', ', ...'],
        ),
        (cut_image, ['test split: 1 images cannot be decoded: ', 'gsun_val_1.jpg (']),
        (bad_line, ['train_places205.csv, line 7: expected a path and a label']),
        (out_of_range, ['val_places205.csv, line 1: label 205 is out of range']),
        (twice, ['train split: 6 images are listed more than once']),
        (overlap, ['the splits overlap: 1 images of the same name and label', '(label 0)']),
        (list_gone, ['val_places205.csv does not exist']),
    ],
)
def test_damaged_places(check, damage, messages):
    status, out, err = check('places205', damage, flags=['--decode'])
    assert status == 1 and 'Places205: 1 problem, see above' in err, out
    (problem,) = [line for line in out.splitlines() if line.startswith('problem: ')]
    for message in messages:
        assert message in problem


def test_one_split_does_not_hide_the_other(check):
    status, out, err = check('places205', bad_line, out_of_range)
    assert status == 1 and '2 problems' in err
    assert 'train split: ' in out and 'test split: ' in out


def no_json(root):
    (root / 'val2018.json').write_text('{')


def other_class(root):
    path = root / 'train2018.json'
    content = json.loads(path.read_text())
    content['images'][2]['file_name'] = 'train_val2018/Aves/8142/x.jpg'
    path.write_text(json.dumps(content))


def short_line(root):
    path = sorted((root / 'training/label_2').glob('*.txt'))[0]
    path.write_text('Car 1 2\n')


def label_gone(root):
    sorted((root / 'training/label_2').glob('*.txt'))[0].unlink()


def everything_gone(root):
    shutil.rmtree(root)


@pytest.mark.parametrize(
    ('name', 'damage', 'message'),
    [
        ('inat18', no_json, 'val2018.json: not a JSON file'),
        ('inat18', other_class, 'images[2]: class 8142 '),
        ('kitti-dist', short_line, '.txt, line 1: expected 15 fields'),
        ('kitti-dist', label_gone, 'does not exist'),
        ('clevr-count', everything_gone, 'images does not exist'),
    ],
)
def test_other_damage(check, name, damage, message):
    status, out, _ = check(name, damage)
    assert status == 1 and any(
        message in line for line in out.splitlines() if line.startswith('problem: ')
    ), out


def test_the_script(tmp_path):
    result = subprocess.run(
        [sys.executable, str(ROOT / 'tools/check_dataset.py'), 'kitti-dist', '--data-root', 'gone'],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert result.returncode == 1 and result.stderr.startswith('error: KITTI/Dist: ')
    assert 'problem: ' in result.stdout and 'gone/training/image_2 does not exist' in result.stdout
    with pytest.raises(SystemExit):
        main(['patterns', '--data-root', 'x'])
    assert 'patterns' not in SEVEN

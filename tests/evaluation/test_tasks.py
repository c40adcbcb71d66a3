"""The table of tasks: declarations that fit their datasets, and the transforms they name."""

from dataclasses import replace

import pytest
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS

from mmssl_prior.errors import UserError
from mmssl_prior.evaluation.tasks import (
    EMBEDDED,
    SEVEN,
    TASKS,
    build_dataset,
    pipeline,
    select_tasks,
)
from tests.miniatures import make_clevr


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def test_the_papers_order():
    titles = [task.title for task in select_tasks(['places205', 'all'])]
    assert titles == [
        'IN1K',
        'iNat18',
        'CIFAR100',
        'Clevr/Count',
        'Clevr/Dist',
        'KITTI/Dist',
        'Places205',
    ]
    assert [task.name for task in select_tasks(['embedded'])] == list(EMBEDDED)
    with pytest.raises(UserError, match="unknown task 'cifar10'; expected all, embedded, imagenet"):
        select_tasks(['cifar10'])


@pytest.mark.parametrize('name', TASKS)
def test_declarations(name):
    task = TASKS[name]
    assert DATASETS.get(task.dataset) is not None and task.name == name
    assert (name in SEVEN) == bool(task.folder) == bool(task.needs) == bool(task.benchmark)
    if name in EMBEDDED:
        for split in (task.train, task.test):
            # Rendering the scenes is left for those that need them.
            dataset = DATASETS.build(dict(type=task.dataset, lazy_init=True, **split))
            assert len(dataset.metainfo['classes']) == task.classes


def test_the_classes_are_those_of_the_task():
    wrong = replace(TASKS['digits'], classes=11)
    with pytest.raises(UserError, match='Digits: .* has 10 classes, the task 11'):
        build_dataset(wrong, 'test', '')


@pytest.mark.parametrize(
    ('name', 'size', 'is_vit', 'steps'),
    [
        ('imagenet', 224, True, ['LoadImage', ('ResizeEdge', 256, 'bicubic'), 'CenterCrop']),
        ('imagenet', 224, False, ['LoadImage', ('ResizeEdge', 256, 'bilinear'), 'CenterCrop']),
        ('cifar100', 32, True, [('ResizeEdge', 37, 'bicubic'), 'CenterCrop']),
        ('cifar100', 224, False, [('Resize', (224, 224), 'bilinear')]),
        ('clevr-dist', 96, True, ['LoadImage', ('Resize', (96, 96), 'bilinear')]),
        ('patterns', 32, True, [('Resize', (32, 32), 'bilinear')]),
    ],
)
def test_transforms(name, size, is_vit, steps):
    found = pipeline(TASKS[name], size, is_vit)
    assert found[-1]['type'] == 'PackInputs'
    for step, wanted in zip(found[:-1], steps, strict=True):
        if isinstance(wanted, tuple):
            assert (step['type'], step['scale'], step['interpolation']) == wanted
            assert step['backend'] == 'pillow'
        else:
            assert step['type'] == wanted


def test_roots_and_what_is_missing(tmp_path):
    count, kitti = TASKS['clevr-count'], TASKS['kitti-dist']
    assert count.root('data', {}) == 'data/CLEVR_v1.0'
    assert count.root('data', {'clevr-count': '/x'}) == '/x'
    make_clevr(tmp_path / 'c')
    assert count.missing(str(tmp_path / 'c')) is None
    assert kitti.missing('nowhere') == 'nowhere/training/image_2'

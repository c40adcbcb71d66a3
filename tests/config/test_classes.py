"""What a label means in training, in validation and to the head."""

import logging
from types import SimpleNamespace

import pytest
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS, MODELS
from PIL import Image

from mmssl_prior.config import check_classes, check_tested_classes
from mmssl_prior.errors import UserError


def folder(root, classes, empty=()):
    for name in (*classes, *empty):
        (root / name).mkdir(parents=True)
    for name in classes:
        Image.new('RGB', (4, 4)).save(root / name / '0.png')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return DATASETS.build(dict(type='CustomDataset', data_root=str(root), pipeline=[]))


def loop(dataset):
    return SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))


def runner(train, val, num_classes):
    head = MODELS.build(dict(type='LinearClsHead', num_classes=num_classes, in_channels=2))
    return SimpleNamespace(
        model=SimpleNamespace(head=head), train_loop=loop(train), val_loop=val and loop(val)
    )


def test_a_class_folder_that_only_one_has(tmp_path):
    train = folder(tmp_path / 'train', ['a', 'b'])
    check_classes(runner(train, folder(tmp_path / 'same', ['a', 'b']), 2))
    check_classes(runner(train, folder(tmp_path / 'empty', ['b'], empty=['a']), 2))
    check_classes(runner(train, None, 2))
    val = folder(tmp_path / 'val', ['b', 'c'])
    assert [val.get_data_info(i)['gt_label'] for i in range(2)] == [0, 1]
    with pytest.raises(
        UserError,
        match='^train_dataloader has 2 classes, val_dataloader 2, .*another class in each: a only '
        'in train_dataloader; c only in val_dataloader: give both',
    ):
        check_classes(runner(train, val, 2))


def test_classes_and_head(tmp_path, monkeypatch):
    train, lines = folder(tmp_path / 'train', ['a', 'b', 'c', 'd']), []
    monkeypatch.setattr(
        'mmssl_prior.config.classes.print_log',
        lambda line, logger, level: lines.append((level, line)),
    )
    with pytest.raises(
        UserError, match=r'^train_dataloader has 4 classes \(a, b, c, ...\), the head 3: set '
        r'model.head.num_classes=4'
    ):  # fmt: skip
        check_classes(runner(train, None, 3))
    check_classes(runner(train, None, 4))
    assert not lines
    check_classes(runner(train, None, 9))
    ((level, line),) = lines
    assert level == logging.WARNING and 'has 4 classes (a, b, c, ...), the head 9' in line


def test_a_label_means_what_it_meant_in_training(tmp_path):
    """Before a test: the classes of the checkpoint against those of the data, and the head."""
    data = folder(tmp_path / 'test', ['b', 'c'])
    meta = dict(dataset_meta=dict(classes=('b', 'c')))
    tested = runner(None, data, 2)
    check_tested_classes(tested, 'val', meta)
    check_tested_classes(tested, 'val')
    tested.test_loop = tested.val_loop
    with pytest.raises(
        UserError,
        match='^the training of the checkpoint has 2 classes, test_dataloader 2, .*: a only in the '
        'training of the checkpoint; c only in test_dataloader: give both',
    ):
        check_tested_classes(tested, 'test', dict(dataset_meta=dict(classes=('a', 'b'))))
    # A linear probe has several heads, of one number of classes.
    tested.model = SimpleNamespace(num_classes=1)
    with pytest.raises(UserError, match=r'^test_dataloader has 2 .* the head 1: set model.num_cl'):
        check_tested_classes(tested, 'test')


def test_a_model_without_classes_is_passed_over(tmp_path):
    train, val = folder(tmp_path / 'train', ['a', 'b']), folder(tmp_path / 'val', ['b'])
    bare = runner(train, val, 2)
    bare.model.head = SimpleNamespace(num_prototypes=3)
    check_classes(bare)

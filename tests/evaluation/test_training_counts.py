"""Images of a class in training: of the encoder, else of the probe, and which is said."""

from dataclasses import replace

import pytest
import torch
from mmengine import Config
from mmengine.registry import init_default_scope

from mmssl_prior.evaluation.tasks import TASKS
from mmssl_prior.evaluation.training_counts import training_counts
from tests.miniatures import make_imagenet, make_inaturalist2018
from tests.smoke import ROOT

LABELS = torch.tensor([0, 0, 3])


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


@pytest.fixture(scope='module')
def imagenet(tmp_path_factory):
    root = make_imagenet(tmp_path_factory.mktemp('in1k'), 1, size=(8, 8))
    first = next((root / 'train').iterdir())
    (image,) = first.iterdir()
    (first / f'x{image.name}').write_bytes(image.read_bytes())
    return root, sorted(path.name for path in (root / 'train').iterdir()).index(first.name)


def config(**dataset):
    return Config(dict(train_dataloader=dict(dataset=dataset)))


def stock():
    cfg = Config.fromfile(ROOT / 'configs/_base_/datasets/in1k_stock.py')
    return config(**cfg.train_dataloader.dataset)


@pytest.mark.parametrize(
    ('cfg', 'named'),
    [
        (stock(), 'ImageNet'),
        (config(type='mmpretrain.ImageNet', split='train'), 'ImageNet'),
        (config(type='ImageNet1K', data_root='gone'), 'ImageNet1K'),
        (
            config(type='RepeatDataset', times=3, dataset=dict(type='ImageNet1K')),
            'RepeatDataset of ImageNet1K',
        ),
        (
            config(
                type='SeededClassBalancedDataset',
                oversample_thr=0.01,
                dataset=dict(type='ImageNet1K'),
            ),
            'SeededClassBalancedDataset of ImageNet1K',
        ),
    ],
    ids=['stock config', 'scoped', 'ours', 'repeated', 'balanced'],
)
def test_what_the_encoder_was_trained_on(imagenet, cfg, named):
    """MMPretrain's class of the same data, and data that have moved since; no image twice."""
    root, doubled = imagenet
    before = cfg.to_dict()
    counts = training_counts(cfg, TASKS['imagenet'], str(root), LABELS)
    expected = torch.ones(1000, dtype=torch.int64)
    expected[doubled] = 2
    assert torch.equal(counts.counts, expected)
    assert counts.source == 'pretraining'
    assert counts.reason == f'what the encoder was trained on ({named})'
    assert cfg.to_dict() == before


def test_species_are_counted_though_the_encoder_saw_supercategories(tmp_path):
    root = make_inaturalist2018(tmp_path / 'inat', ((0, 4), (7, 2), (8141, 1)))
    cfg = config(type='INaturalist2018', target='supercategory')
    counts = training_counts(cfg, TASKS['inat18'], str(root), LABELS)
    assert counts.source == 'pretraining'
    assert counts.counts[[0, 7, 8141]].tolist() == [4, 2, 1] and counts.counts.sum() == 7


@pytest.mark.parametrize(
    ('cfg', 'task', 'reason'),
    [
        (None, TASKS['imagenet'], 'what a model of timm was trained on is not known'),
        (Config(dict(model={})), TASKS['imagenet'], "the encoder's config names no training data"),
        (
            config(type='RepeatDataset', dataset=dict(type='CustomDataset')),
            TASKS['imagenet'],
            'the encoder was trained on other data (RepeatDataset of CustomDataset)',
        ),
        (
            config(type='ConcatDataset', datasets=[dict(type='ImageNet1K')]),
            TASKS['imagenet'],
            'the encoder was trained on other data (ConcatDataset)',
        ),
        (
            config(type='DigitsLT'),
            replace(TASKS['digits'], classes=5),
            "the encoder's training data (DigitsLT) have labels up to 9",
        ),
    ],
    ids=['timm', 'nothing', 'other', 'several', 'labels'],
)
def test_the_probes_images_are_counted_and_it_is_said_why(cfg, task, reason):
    counts = training_counts(cfg, task, 'nowhere', LABELS)
    assert counts.counts[:5].tolist() == [2, 0, 0, 1, 0] and len(counts.counts) == task.classes
    assert counts.source == 'probe'
    assert counts.reason == f'the training split of {task.title}: {reason}'


def test_labels_that_cannot_be_read_are_not_passed_over_in_silence(tmp_path):
    cfg = config(type='ImageNet1K')
    counts = training_counts(cfg, TASKS['imagenet'], str(tmp_path), LABELS)
    assert counts.source == 'probe'
    assert (
        "the labels of the encoder's training data (ImageNet1K) cannot be read: " in counts.reason
    )
    assert 'does not exist' in counts.reason
    # A class of others that raises something of its own, and would fetch what is missing.
    stock_cifar = config(type='CIFAR100', split='train')
    counts = training_counts(stock_cifar, TASKS['cifar100'], str(tmp_path), LABELS)
    assert counts.source == 'probe' and '(CIFAR100) cannot be read: ' in counts.reason
    assert not list(tmp_path.iterdir())

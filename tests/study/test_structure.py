"""Measures of prototypes, beside a plain loop over the images."""

import math

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from mmpretrain.registry import DATASETS
from sklearn.metrics import normalized_mutual_info_score

from mmssl_prior.study.metrics import evaluation_metrics
from mmssl_prior.study.structure import head_over_tail, prototype_metrics
from tests.evaluation.checkpoints import CLASSIFIER, MSN, PREPROCESSOR, save_checkpoint

STEPS = [dict(type='Resize', scale=32, backend='pillow'), dict(type='PackInputs')]
DATA = dict(type='DigitsLT', split='train', num_images=40, pipeline=[])


def test_prototypes_of_a_checkpoint(tmp_path):
    model = save_checkpoint(
        tmp_path / 'run/epoch_1.pth',
        MSN,
        train_dataloader=dict(dataset=DATA),
        test_pipeline=STEPS,
    )
    found = prototype_metrics(tmp_path / 'run/epoch_1.pth', tmp_path / 'scratch', batch_size=16)
    assert not (tmp_path / 'scratch').exists()
    dataset = DATASETS.build(dict(DATA, pipeline=STEPS, test_mode=True))
    batch = model.data_preprocessor(default_collate([dataset[i] for i in range(40)]))
    with torch.no_grad():
        probabilities = model.assign(batch['inputs']).double().exp().numpy()
    mean = probabilities.mean(0)
    hard = probabilities.argmax(1)
    labels = np.asarray(dataset.get_gt_labels())
    prior = np.arange(1, 6) ** -0.25 / (np.arange(1, 6) ** -0.25).sum()
    expected = {
        'train/prototypes_used': len(set(hard)),
        'train/effective_prototypes': math.exp(-(mean * np.log(mean)).sum()),
        'train/distinct_prototypes': 5,
        'train/head_over_tail': mean[0] / mean[-1],
        'train/kl_to_prior': (mean * np.log(mean / prior)).sum(),
        'train/nmi': normalized_mutual_info_score(labels, hard),
        'train/purity': sum(
            np.bincount(labels[hard == k]).max() for k in range(5) if (hard == k).any()
        )
        / 40,
    }
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_model_without_prototypes_has_no_such_numbers(tmp_path):
    loose = dict(data_preprocessor=PREPROCESSOR, train_dataloader=dict(dataset=DATA))
    save_checkpoint(tmp_path / 'run/epoch_1.pth', CLASSIFIER, **loose)
    assert prototype_metrics(tmp_path / 'run/epoch_1.pth', tmp_path / 'scratch') == {}


def test_head_over_tail():
    # 16 prototypes: the first two are 3 and 1, the last two 0.5 and 1.5.
    usage = torch.tensor([3.0, 1.0, *[9.0] * 12, 0.5, 1.5])
    assert head_over_tail(usage) == 2.0
    assert head_over_tail(torch.tensor([1.0, 0.0])) == math.inf


def test_names_of_metrics():
    low_shot = [dict(l2=0.075, mean=0.5), dict(l2=1.0, mean=0.9)]
    scores = dict(
        linear=dict(top1=0.7, class_mean_top1=0.6, groups=dict(many=0.9, medium=None, few=0.1)),
        knn={'10': 0.3, '200': 0.2},
        knn_groups={'20': dict(many=0.8, medium=0.7, few=0.6)},
        low_shot={'1': low_shot, '1%': low_shot, 'published 5': low_shot, '2': dict(skipped='x')},
        rankme=3.5,
        alignment=0.25,
        uniformity=-2.0,
    )
    assert evaluation_metrics(dict(results=[dict(task='patterns', scores=scores)])) == {
        'patterns/linear': 0.7,
        'patterns/linear_class_mean': 0.6,
        'patterns/linear_many': 0.9,
        'patterns/linear_few': 0.1,
        'patterns/knn10': 0.3,
        'patterns/knn200': 0.2,
        'patterns/knn20_many': 0.8,
        'patterns/knn20_medium': 0.7,
        'patterns/knn20_few': 0.6,
        'patterns/low_shot_1': 0.5,
        'patterns/low_shot_1%': 0.5,
        'patterns/low_shot_5_published': 0.5,
        'patterns/rankme': 3.5,
        'patterns/alignment': 0.25,
        'patterns/uniformity': -2.0,
    }

"""Scores of a task from its features, against plain loops."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmssl_prior.errors import UserError
from mmssl_prior.evaluation import (
    LogisticRegression,
    low_shot_features,
    rankme,
    task_scores,
    uniformity,
)
from mmssl_prior.evaluation.task_scores import ScoreSettings, TaskFeatures, score

CLASSES = 3
SETTINGS = ScoreSettings(ks=(1, 5, 500), shots=(1, 2), share=0.5, subsets=2, l2=(0.1, 1.0))


@pytest.fixture(scope='module')
def features():
    generator = torch.Generator().manual_seed(0)
    train_y = torch.tensor([0] * 12 + [1] * 7 + [2] * 2)
    test_y = torch.arange(CLASSES).repeat(10)
    centres = torch.randn(CLASSES, 6, generator=generator)

    def around(labels):
        return centres[labels] + 0.8 * torch.randn(len(labels), 6, generator=generator)

    return TaskFeatures(around(train_y), train_y, around(test_y), test_y)


def predicted(features):
    return torch.where(features.test_y == 2, 1, features.test_y)


@pytest.fixture(scope='module')
def scores(features):
    return score(
        features,
        CLASSES,
        lambda: (predicted(features), dict(bn=dict(top1=2 / 3))),
        SETTINGS,
        counts=torch.tensor([200, 50, 5]),
        published=np.array([0, 12, 19]),
    )


def test_linear_and_groups(scores):
    linear = scores['linear']
    assert linear['top1'] == linear['class_mean_top1'] == pytest.approx(2 / 3)
    assert linear['groups'] == dict(many=1.0, medium=1.0, few=0.0)
    assert linear['heads'] == dict(bn=dict(top1=2 / 3))


def test_a_probe_that_another_trains(features):
    assert 'linear' not in score(features, CLASSES, None, SETTINGS)


def test_groups_of_one_kind_are_none(features):
    def linear():
        return predicted(features), {}

    # By default the counts of the training split, which are all below 20 here.
    assert 'groups' not in score(features, CLASSES, linear, SETTINGS)['linear']


def test_knn_equals_a_plain_loop(features, scores):
    bank, queries = F.normalize(features.train_x), F.normalize(features.test_x)
    for k in (1, 5):
        right = 0
        for query, label in zip(queries, features.test_y):
            similarity = bank @ query
            best = similarity.argsort(descending=True)[:k]
            votes = torch.zeros(CLASSES)
            for i in best:
                votes[features.train_y[i]] += (similarity[i] / 0.07).exp()
            right += int(votes.argmax() == label)
        assert scores['knn'][str(k)] == pytest.approx(right / len(queries))
    # A bank of 21 has no 500 neighbours.
    assert '500' not in scores['knn']


def test_low_shot(features, scores):
    assert list(scores['low_shot']) == ['1', '2', '50%', 'list']
    for kind, entries in scores['low_shot'].items():
        assert [entry['l2'] for entry in entries] == [0.1, 1.0]
        assert len(entries[0]['top1']) == (1 if kind == 'list' else 2)
    chosen = [0, 12, 19]
    model = LogisticRegression(0.1).fit(
        low_shot_features(features.train_x[chosen]), features.train_y[chosen], CLASSES
    )
    right = model.predict(low_shot_features(features.test_x)) == features.test_y
    assert scores['low_shot']['list'][0]['mean'] == pytest.approx(right.double().mean().item())


def test_too_few_images_for_a_subset_are_said(features):
    settings = ScoreSettings(ks=(1,), shots=(5,), subsets=1, l2=(1.0,))
    kinds = score(features, CLASSES, None, settings)['low_shot']
    assert 'class 2 has 2 images, fewer than the 5' in kinds['5']['skipped']
    assert isinstance(kinds['1%'], list)


def test_spectrum_and_sizes(features, scores):
    assert scores['rankme'] == pytest.approx(rankme(features.train_x))
    assert scores['uniformity'] == pytest.approx(uniformity(features.test_x))
    assert len(scores['spectrum']) == scores['width'] == 6
    assert (scores['train_images'], scores['test_images']) == (21, 30)


def test_uniformity_of_many_images_is_that_of_some(features, scores, monkeypatch):
    monkeypatch.setattr(task_scores, 'UNIFORMITY_IMAGES', 20)
    first, second = (score(features, CLASSES, None, SETTINGS)['uniformity'] for _ in range(2))
    assert first == second != scores['uniformity']
    assert first == pytest.approx(scores['uniformity'], abs=0.5)


def test_regressions_that_have_not_converged_are_said(features, monkeypatch):
    monkeypatch.setattr(LogisticRegression.__init__, '__defaults__', (1, 1e-12))
    said = []
    settings = ScoreSettings(ks=(1,), shots=(2,), subsets=1, l2=(0.1,))
    kinds = score(features, CLASSES, None, settings, said=said.append)['low_shot']
    assert not kinds['2'][0]['converged']
    assert 'low-shot, 2, lambda 0.1: the regression has not converged' in said


def not_finite(f):
    return TaskFeatures(f.train_x, f.train_y, f.test_x * float('nan'), f.test_y)


def outside(f):
    return TaskFeatures(f.train_x, f.train_y + 1, f.test_x, f.test_y)


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (not_finite, 'features of the test split are not finite'),
        (outside, 'train split has labels from 1 to 3, outside the 3 classes'),
    ],
)
def test_bad_features(features, damage, message):
    with pytest.raises(UserError, match=message):
        score(damage(features), CLASSES, None, SETTINGS)

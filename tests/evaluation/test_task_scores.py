"""Scores of a task from its features, against plain loops."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmssl_prior.errors import UserError
from mmssl_prior.evaluation import (
    HeadScores,
    LogisticRegression,
    knn_classify,
    low_shot_features,
    rankme,
    task_scores,
    uniformity,
)
from mmssl_prior.evaluation.linear_entry import linear_entry
from mmssl_prior.evaluation.task_scores import ScoreSettings, TaskFeatures, score

CLASSES = 3
LISTS = {
    '1': {'a.txt': np.array([0, 12, 19]), 'b.txt': np.array([3, 13, 20])},
    '19%': {'c.txt': np.array([0, 1, 12, 19])},
}
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


@pytest.fixture(scope='module')
def scores(features):
    return score(
        features,
        CLASSES,
        lambda: dict(top1=0.5),
        SETTINGS,
        counts=torch.tensor([200, 50, 5]),
        published=LISTS,
    )


def test_a_probe_of_several_heads():
    """The table's head is the best of its recipe's; what is ours stands beside it."""
    heads = dict(
        cls=HeadScores(0.5, None, 0.4, many=0.6, few=0.1),
        cls_bn=HeadScores(0.6, None, 0.5, many=0.7),
        ours=HeadScores(0.9, None, 0.8),
        ours_too=HeadScores(0.7, None, 0.7),
    )
    entry = linear_entry(heads, ['cls', 'cls_bn'])
    assert (entry['head'], entry['top1'], entry['class_mean_top1']) == ('cls_bn', 0.6, 0.5)
    assert entry['others'] == dict(head='ours', top1=0.9, class_mean_top1=0.8)
    assert [head['in_table'] for head in entry['heads'].values()] == [True, True, False, False]
    # Groups where classes fall into several.
    assert 'groups' not in entry and 'top5' not in entry
    alone = linear_entry(heads, ['cls'])
    assert alone['groups'] == dict(many=0.6, medium=None, few=0.1)
    assert 'others' not in linear_entry(dict(cls=heads['cls']), ['cls'])


def test_groups_of_k_nn(features, scores):
    counts = torch.tensor([200, 50, 5])
    assert set(scores['knn_groups']) == {'1', '5'}
    for k, groups in scores['knn_groups'].items():
        found = knn_classify(features.test_x, features.train_x, features.train_y, int(k))[int(k)]
        right = (found == features.test_y).double()
        for group, label in zip(('many', 'medium', 'few'), counts.argsort(descending=True)):
            assert groups[group] == pytest.approx(right[features.test_y == label].mean().item())


def test_a_probe_that_another_trains(features):
    assert 'linear' not in score(features, CLASSES, None, SETTINGS)


@pytest.mark.parametrize(
    ('measures', 'names'),
    [
        (('linear',), {'linear'}),
        (('knn',), {'knn', 'knn_groups'}),
        (('low-shot',), {'low_shot', 'low_shot_lists'}),
        (('spectrum',), {'rankme', 'spectrum'}),
        (('alignment',), {'uniformity'}),  # alignment itself needs images
    ],
)
def test_only_what_was_asked_for(features, scores, measures, names):
    settings = replace(SETTINGS, measures=measures)
    counts = torch.tensor([200, 50, 5])
    some = score(features, CLASSES, lambda: dict(top1=0.5), settings, counts, published=LISTS)
    assert set(some) == names | {'train_images', 'test_images', 'width'}
    assert some == {name: scores[name] for name in some}


def test_groups_of_one_kind_are_none(features):
    # By default the counts of the training split, which are all below 20 here.
    assert not score(features, CLASSES, None, SETTINGS)['knn_groups']


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
    assert list(scores['low_shot']) == ['1', '2', '50%', 'published 1', 'published 19%']
    for kind, entries in scores['low_shot'].items():
        assert [entry['l2'] for entry in entries] == [0.1, 1.0]
        assert len(entries[0]['top1']) == (1 if kind == 'published 19%' else 2)
    expected = []
    for chosen in LISTS['1'].values():
        model = LogisticRegression(0.1).fit(
            low_shot_features(features.train_x[chosen]), features.train_y[chosen], CLASSES
        )
        right = model.predict(low_shot_features(features.test_x)) == features.test_y
        expected.append(right.double().mean().item())
    entry = scores['low_shot']['published 1'][0]
    assert entry['top1'] == pytest.approx(expected)
    assert (entry['mean'], entry['std']) == pytest.approx(
        (np.mean(expected), np.std(expected, ddof=1))
    )
    assert scores['low_shot_lists'] == {
        'published 1': ['a.txt', 'b.txt'],
        'published 19%': ['c.txt'],
    }


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

"""Detectors fire on constructed collapses, once each, and not on what is healthy."""

import re

import numpy as np
import pytest
import torch

from mmssl_prior.functional import power_law_prior
from mmssl_prior.insight import (
    HealthRecord,
    draw_health,
    find_failures,
    measure_features,
    measure_prototypes,
    measure_usage,
    scalars,
    sum_predictions,
)
from mmssl_prior.insight.health import DETECTORS, PATIENCE, START

K, N, D = 64, 256, 48
PRIOR = power_law_prior(K, 0.25).log().float()
STEEP = power_law_prior(K, 2.0).log().float()


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def healthy(i):
    """Random features, predictions that differ, prototypes that are spread."""
    return dict(features=draw(N, D, seed=i), log_p=(3 * draw(N, K, seed=i)).log_softmax(-1))


def history(make=healthy, count=PATIENCE + 1, start=START, prior=PRIOR, prototypes=None, **kwargs):
    """Records of a run, ``make(i)`` giving what differs from record to record."""
    records = []
    for i in range(count):
        values = dict(loss=3.0 - 0.1 * i, weight_norm=10.0) | kwargs | make(i)
        features, log_p = values.pop('features'), values.pop('log_p', None)
        if log_p is not None:
            sums = sum_predictions(log_p)
            w = draw(K, D) if prototypes is None else prototypes
            values.update(
                predictions=sums,
                usage=measure_usage([sums], prior),
                prototypes=measure_prototypes(w, 0.1),
                log_prior=prior,
            )
        records.append(
            HealthRecord(
                iteration=100 * (i + 1),
                progress=start + 0.1 * i,
                images=N,
                features=measure_features(features),
                **values,
            )
        )
    return records


def on_one(i):
    log_p = torch.full((N, K), -20.0)
    log_p[:, 5] = 0
    return healthy(i) | dict(log_p=log_p.log_softmax(-1))


def alike(i):
    return healthy(i) | dict(log_p=PRIOR + 0.01 * draw(N, K, seed=i))


def half_dead(i):
    """Six prototypes, which all images choose among, with the prior's soft usage elsewhere."""
    log_p = PRIOR.repeat(N, 1)
    log_p[torch.arange(N), torch.arange(N) % 6] += 2.0
    return healthy(i) | dict(log_p=log_p.log_softmax(-1))


def one_point(i):
    return dict(features=draw(D) + 1e-4 * draw(N, D, seed=i))


def one_line(i):
    return dict(features=draw(N, 1, seed=i) * draw(D))


# The first is shared by most clusters, as a steep prior rewards.
TWINS = draw(K, D)
TWINS[: K // 2] = TWINS[0] * torch.arange(1, K // 2 + 1)[:, None]


@pytest.mark.parametrize(
    ('name', 'kwargs', 'words'),
    [
        ('collapsed_onto_few', dict(make=on_one), '768 images use 1 of 64 prototypes'),
        ('same_prediction', dict(make=alike), 'all images have the same prediction'),
        ('shared_prototypes', dict(prototypes=TWINS), 'only 33 of 64 .*num_prototypes=32'),
        ('dead_prototypes', dict(make=half_dead), '256 images use 6 of 64 .*num_prototypes=8'),
        ('collapsed_features', dict(make=one_point), r'point the same way \(spread 0.0'),
        ('collapsed_features', dict(make=one_line), 'RankMe 1'),
    ],
)
def test_a_failure_is_named_with_what_to_try(name, kwargs, words):
    found = find_failures(history(**kwargs))
    assert list(found) == [name]
    assert re.search(words, found[name]), found[name]
    # One record that is healthy again, too few, or too early are none.
    assert not find_failures(history(**kwargs)[: PATIENCE - 1])
    assert not find_failures([*history(**kwargs)[:-1], *history(count=1, start=0.5)])
    assert not find_failures(history(**kwargs, start=START - 0.3))


def test_sharing_under_a_steep_prior_is_named():
    """Usage equals the prior since prototypes share clusters."""
    steep = dict(make=lambda i: healthy(i) | dict(log_p=mixed(i)), prior=STEEP, prototypes=TWINS)
    assert (
        'only because clusters share them' in find_failures(history(**steep))['shared_prototypes']
    )
    far = history(make=lambda i: healthy(i), prior=STEEP, prototypes=TWINS)
    assert 'because' not in find_failures(far)['shared_prototypes']


def mixed(seed):
    """Certain predictions in the proportions of the steep prior."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(STEEP.exp(), N, replacement=True, generator=generator)
    return torch.full((N, K), -9.0).scatter_(1, labels[:, None], 0.0).log_softmax(-1)


def test_nothing_is_said_of_healthy_runs():
    assert not find_failures([])
    assert not find_failures(history(grad_norm=1.0, loss_scale=65536.0, ema_distance=0.1))
    assert not find_failures(history(make=lambda i: dict(features=draw(N, D, seed=i))))
    # A steep prior that is followed, and an untrained network in the first steps.
    assert not find_failures(history(make=lambda i: healthy(i) | dict(log_p=mixed(i)), prior=STEEP))
    untrained = dict(make=lambda i: one_point(i) | dict(log_p=PRIOR.expand(N, K)))
    assert not find_failures(history(**untrained, count=PATIENCE, start=-0.2))


@pytest.mark.parametrize(
    ('grow', 'words'),
    [
        (lambda i: dict(weight_norm=1.3**i), 'norm of the weights'),
        (lambda i: dict(loss=3.0 + i, grad_norm=2.2**i), 'norm of the gradient'),
        (lambda i: dict(loss=3.0, features=2.2**i * draw(N, D)), 'norm of the features'),
        (lambda i: dict(loss_scale=0.5), 'loss scale has fallen to 0.5'),
        (lambda i: dict(features=torch.full((N, D), float('nan'))), 'is not finite'),
    ],
)
def test_numbers_that_run_away(grow, words):
    """Also in the first steps of a training."""
    found = find_failures(history(make=lambda i: healthy(i) | grow(i), start=0.0))
    assert words in found['runaway_numbers'] and 'learning rate' in found['runaway_numbers']


def test_growth_of_a_run_that_learns():
    """Gradients rise where learning takes off; the loss falls. And noise is no trend."""
    rises = history(make=lambda i: healthy(i) | dict(grad_norm=3.0**i, loss=4.0 - i))
    assert not find_failures(rises)
    jumps = history(make=lambda i: healthy(i) | dict(grad_norm=[1.0, 50, 40, 60][i], loss=3.0))
    assert not find_failures(jumps)


def test_every_detector_was_seen_to_fire():
    marks = test_a_failure_is_named_with_what_to_try.pytestmark
    fired = {case[0] for mark in marks for case in mark.args[1]} | {'runaway_numbers'}
    assert fired == set(DETECTORS)


def test_scalars_are_finite_numbers():
    (record,) = history(count=1, ema_distance=0.2)
    values = scalars(record)
    assert values['health/ema_distance'] == 0.2 and values['health/prototypes_distinct'] == K
    assert len(values) == 17 and all(np.isfinite(value) for value in values.values())
    (bare,) = history(make=lambda i: dict(features=torch.full((4, 2), float('nan'))), count=1)
    assert set(scalars(bare)) == {'health/images', 'health/weight_norm'}


def test_the_order_of_the_prototypes_changes_no_picture():
    """As where the prior is matched to usage: places are ranks in the prior, not indices."""
    order = torch.randperm(K, generator=torch.Generator().manual_seed(0))
    (record,) = history(count=1)
    (other,) = history(
        make=lambda i: healthy(i) | dict(log_p=healthy(i)['log_p'][:, order]),
        count=1,
        prior=PRIOR[order],
    )
    assert np.array_equal(draw_health(record), draw_health(other))


def test_a_picture_with_and_without_prototypes():
    (record,) = history(count=1)
    (features,) = history(make=lambda i: dict(features=draw(N, D)), count=1)
    pictures = [draw_health(record), draw_health(features)]
    assert pictures[0].dtype == np.uint8 and pictures[0].shape[1] > 3 * pictures[1].shape[1]
    assert all(picture.ndim == 3 and picture.std() > 5 for picture in pictures)
    draw_health(history(make=lambda i: dict(features=torch.full((4, 2), float('nan'))), count=1)[0])

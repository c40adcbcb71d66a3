"""Probes on stored features: a hand recursion, and the online probe on the same images."""

import logging
import sys

import pytest
import torch
from torch.nn import functional as F

from mmssl_prior.errors import UserError
from mmssl_prior.evaluation import Features, ProbeRecipe, extract_features, probe_features
from mmssl_prior.models import ProbeHeads
from tests.evaluation.toy import ToyImages, loader
from tests.models.test_linear_probe import VIT, VIT_HEADS, probe, run


def blobs(size, classes=7, width=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (size,), generator=generator)
    means = torch.randn(classes, width, generator=torch.Generator().manual_seed(9))
    x = means[labels] + 0.7 * torch.randn(size, width, generator=generator)
    return Features(x, labels, torch.arange(size))


def recursion(train, test, heads, recipe, multipliers):
    """Heads trained in double precision by the formulas of Nesterov's SGD; their test logits."""
    logits = {}
    model = ProbeHeads(heads, 7, multipliers, recipe.seed, sync=False).double()
    for name, head in model.items():
        x, y = train.features.double(), train.labels
        velocity = {key: 0.0 for key, _ in head.named_parameters()}
        for epoch in range(recipe.epochs):
            generator = torch.Generator().manual_seed(recipe.seed + epoch)
            order = torch.randperm(len(y), generator=generator)
            for step, index in enumerate(order.split(recipe.batch_size)):
                done = epoch + step / -(-len(y) // recipe.batch_size)
                lr = recipe.lr * model.factors[name] * recipe.factor(done)
                grads = torch.autograd.grad(
                    F.cross_entropy(head(x[index]), y[index]), list(head.parameters())
                )
                with torch.no_grad():
                    for (key, param), grad in zip(head.named_parameters(), grads):
                        decayed = recipe.regularize_bn or not key.startswith('norm')
                        grad = grad + decayed * recipe.weight_decay * param
                        velocity[key] = recipe.momentum * velocity[key] + grad
                        param -= lr * (grad + recipe.momentum * velocity[key])
        with torch.no_grad():
            logits[name] = head.eval()(test.features.double())
    return logits


@pytest.mark.parametrize(
    'recipe',
    [
        ProbeRecipe(4, 0.5, batch_size=8, milestones=(2, 3), weight_decay=0.01, seed=3),
        ProbeRecipe(3, 0.5, batch_size=8, cosine_to=0.1, by_epoch=False, regularize_bn=True),
    ],
    ids=['steps', 'cosine'],
)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_equals_a_hand_recursion(recipe, dtype):
    """33 samples: the last batch has one, and is not left out."""
    train, test = blobs(33), blobs(500, seed=1)
    heads = [
        dict(feature='cls', in_channels=6, norm='bn'),
        dict(feature='cls', in_channels=6),
        dict(feature='cls', in_channels=6, norm='ln_l2'),
    ]
    cast = [part._replace(features=part.features.to(dtype)) for part in (train, test)]
    with torch.no_grad():
        scores = probe_features(
            dict(cls=cast[0]),
            dict(cls=cast[1]),
            7,
            [{k: v for k, v in cfg.items() if k != 'in_channels'} for cfg in heads],
            recipe,
            lr_multipliers=(0.3, 1.0),
        )
    cast = [part._replace(features=part.features.float()) for part in cast]
    expected = recursion(*cast, heads, recipe, (0.3, 1.0))
    assert list(scores.heads) == list(expected) and len(expected) == 6
    for name, logits in expected.items():
        top = logits.topk(5).indices
        # Ties within single precision.
        assert (scores.predictions[name] == top[:, 0]).double().mean() > 0.995
        right = (top[:, 0] == test.labels).double()
        assert scores.heads[name].top1 == pytest.approx(right.mean().item(), abs=0.005)
        means = [right[test.labels == c].mean() for c in test.labels.unique()]
        assert scores.heads[name].class_mean_top1 == pytest.approx(
            (sum(means) / len(means)).item(), abs=0.01
        )
        top5 = (top == test.labels[:, None]).any(1).double().mean().item()
        assert scores.heads[name].top5 == pytest.approx(top5, abs=0.005)
    assert scores.heads[scores.best].top1 == max(s.top1 for s in scores.heads.values())


def test_agrees_with_the_online_probe(tmp_path):
    """The same images without random transforms: the Runner's probe and the one on features."""
    model = probe(VIT, VIT_HEADS)
    features = {
        split: {
            feature: extract_features(
                model, loader(data), forward=lambda x, _, key=feature: model.extract_feat(x)[key]
            )
            for feature in ('cls', 'cls4', 'cls_raw')
        }
        for split, data in (('train', ToyImages(22)), ('test', ToyImages(300, seed=1)))
    }
    recipe = ProbeRecipe(2, lr=0.5, batch_size=5, milestones=(1,), weight_decay=0.01)
    fast = probe_features(features['train'], features['test'], 3, VIT_HEADS, recipe)
    run(tmp_path, model, epochs=2, lr=0.5)
    model.eval()
    with torch.no_grad():
        online = model(ToyImages(300, seed=1).images)
    for name, logits in online.items():
        assert (logits.argmax(1) == fast.predictions[name]).double().mean() > 0.99, name
    assert min(score.top1 for score in fast.heads.values()) > 0.5  # they have learned


def test_recipe_factors():
    steps = ProbeRecipe()
    assert [round(steps.factor(e), 9) for e in (0, 7.9, 8, 16, 27)] == [1, 1, 0.1, 0.01, 0.001]
    cosine = ProbeRecipe(50, cosine_to=0.01)
    assert cosine.factor(0) == 1 and cosine.factor(25.7) == pytest.approx(0.505)
    smooth = cosine._replace(by_epoch=False)
    assert smooth.factor(50) == pytest.approx(0.01) and smooth.factor(25.7) < 0.505


def test_a_diverged_head_is_named_and_the_others_are_scored(monkeypatch):
    lines = []
    monkeypatch.setattr(
        sys.modules[probe_features.__module__],
        'print_log',
        lambda message, logger=None, level=logging.INFO: lines.append((level, message)),
    )
    train = blobs(40)
    scores = probe_features(
        dict(cls=train),
        dict(cls=train),
        7,
        [dict(feature='cls')],
        ProbeRecipe(60, lr=0.1, batch_size=8, milestones=(), weight_decay=0.1),
        lr_multipliers=(1.0, 1e4),
    )
    assert scores.best == 'cls_x1' and scores.heads['cls_x1'].top1 > 0.5
    (warning,) = [message for level, message in lines if level == logging.WARNING]
    assert 'not finite: cls_x10000; lower their learning rate' in warning
    assert any('best: cls_x1 ' in message for _, message in lines)


def test_bad_input():
    good = blobs(10)
    heads = [dict(feature='cls')]
    two = [*heads, dict(feature='pool')]
    shifted = good._replace(sample_idx=good.sample_idx + 1)

    def call(train=good, test=good, heads=heads, recipe=None, classes=7, **others):
        return probe_features(
            dict(cls=train, **others), dict(cls=test, **others), classes, heads, recipe
        )

    for kwargs, message in (
        (dict(heads=two), "on feature 'pool', but there are cls to train and cls to test"),
        (dict(heads=[{}]), "on feature 'None'"),
        (dict(heads=[]), 'needs at least one head'),
        (dict(train=good._replace(labels=None)), 'probe, train is not labelled'),
        (dict(heads=two, pool=shifted), 'not of the same images'),
        (dict(test=good._replace(features=good.features[:9])), '9 features, 10 labels'),
        (dict(classes=6), 'train: labels from 0 to 6 are outside the 6 classes'),
        (dict(recipe=ProbeRecipe(epochs=0)), 'must be positive'),
        (dict(recipe=ProbeRecipe(lr=0.0)), 'must be positive'),
        (dict(test=blobs(10, width=5)), r'shape \(10, 5\), .*in_channels=6'),
    ):
        with pytest.raises(UserError, match=message):
            call(**kwargs)

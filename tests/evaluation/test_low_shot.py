import numpy as np
import pytest
import sklearn.linear_model
import torch
from torch.nn import functional as F

from mmssl_prior.evaluation import (
    LogisticRegression,
    low_shot,
    low_shot_features,
    read_subset,
    sample_subset,
)
from mmssl_prior.evaluation.low_shot import read_subsets


@pytest.fixture(scope='module')
def data():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(90) % 3
    x = torch.randn(90, 5, generator=generator) + 1.5 * F.one_hot(y, 5)
    return x, y


@pytest.mark.parametrize('l2', [1e-3, 0.1, 10.0])
def test_weights_are_those_of_scikit_learn(data, l2):
    x, y = data
    ours = LogisticRegression(l2, tolerance=1e-8).fit(x, y, 3)
    theirs = sklearn.linear_model.LogisticRegression(
        C=1 / l2, fit_intercept=False, tol=1e-10, max_iter=10000
    ).fit(x.double().numpy(), y.numpy())
    assert ours.converged
    # A gradient of 1e-8 is this far from the minimum where the curvature is least, l2 / n.
    np.testing.assert_allclose(ours.weight.numpy(), theirs.coef_, atol=2e-8 * 90 / l2 + 1e-6)
    assert (ours.predict(x).numpy() == theirs.predict(x.numpy())).all()


def test_the_gradient_vanishes_at_the_solution(data):
    x, y = data
    weight = LogisticRegression(0.5, tolerance=1e-8).fit(x, y, 4).weight
    p = (x.double() @ weight.T).softmax(1) - F.one_hot(y, 4)
    gradient = p.T @ x.double() / len(x) + 0.5 / len(x) * weight
    assert gradient.abs().max() < 1e-7
    # Under no_grad too, and for a class that never occurs.
    with torch.no_grad():
        again = LogisticRegression(0.5, tolerance=1e-8).fit(x, y, 4).weight
    torch.testing.assert_close(again, weight)


def test_convergence_is_reported(data):
    assert not LogisticRegression(1e-4, max_iter=2).fit(*data, 3).converged


def test_subsets_are_fixed_and_fair():
    labels = np.repeat([4, 7, 9], [30, 10, 5])
    for shots in (1, 2, 5):
        subset = sample_subset(labels, shots=shots, seed=3)
        assert np.bincount(labels[subset]).tolist() == [0, 0, 0, 0, shots, 0, 0, shots, 0, shots]
        assert len(np.unique(subset)) == len(subset)
        np.testing.assert_array_equal(subset, sample_subset(labels, shots=shots, seed=3))
    one_percent = sample_subset(labels, share=0.1)
    assert np.bincount(labels[one_percent])[[4, 7, 9]].tolist() == [3, 1, 1]
    assert (
        sample_subset(labels, shots=2, seed=1).tolist() != sample_subset(labels, shots=2).tolist()
    )
    # A class's draw does not depend on the other classes.
    alone = sample_subset(labels[:30], shots=2, seed=3)
    np.testing.assert_array_equal(alone, sample_subset(labels, shots=2, seed=3)[:2])


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(), 'either shots or share'),
        (dict(shots=1, share=0.1), 'either shots or share'),
        (dict(shots=0), 'at least 1'),
        (dict(share=1.5), r'in \(0, 1\]'),
        (dict(shots=3), 'class 1 has 2 images, fewer than the 3'),
    ],
)
def test_bad_subsets(arguments, message):
    with pytest.raises(ValueError, match=message):
        sample_subset([0, 0, 0, 1, 1], **arguments)


def test_published_lists(tmp_path):
    names = ['data/a/x.JPEG', 'data/a/y.JPEG', 'data/b/z.JPEG', 'data/b/w.JPEG']
    path = tmp_path / 'list.txt'
    path.write_text('z.JPEG\n\nx.JPEG\n')
    assert read_subset(path, names).tolist() == [0, 2]
    for text, message in [
        ('z.JPEG\nq.JPEG\n', 'list.txt, line 2: no training image is named q.JPEG'),
        ('z.JPEG\nw.JPEG\nz.JPEG\n', 'line 3: z.JPEG is already in line 1'),
        ('\n', 'the list is empty'),
    ]:
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_subset(path, names)
    path.write_text('x.JPEG')
    with pytest.raises(ValueError, match='line 1: several images are named x.JPEG'):
        read_subset(path, [*names, 'data/c/x.JPEG'])
    with pytest.raises(ValueError, match='nowhere.*cannot be read'):
        read_subset(tmp_path / 'nowhere', names)


def test_the_kind_of_a_list_is_seen_from_what_it_holds(tmp_path):
    names = [f'{i}.png' for i in range(200)]
    labels = np.arange(200) % 4
    lists = dict(a=(0, 1, 2, 3), b=(4, 5, 6, 7), c=(0, 4, 8), d=(0, 4, 1, 5), e=(0, 1, 5, 9))
    for name, chosen in lists.items():
        (tmp_path / name).write_text('\n'.join(names[i] for i in chosen))
    found = read_subsets([tmp_path / name for name in lists], names, labels)
    kinds = {kind: [path[-1] for path in files] for kind, files in found.items()}
    assert kinds == {'1': ['a', 'b'], '3': ['c'], '2': ['d'], '2%': ['e']}
    assert found['1'][str(tmp_path / 'b')].tolist() == [4, 5, 6, 7]
    (tmp_path / 'again').write_text('2.png\n0.png\n3.png\n1.png\n')
    with pytest.raises(ValueError, match='again: holds the same images as .*/a: a mean'):
        read_subsets([tmp_path / 'a', tmp_path / 'again'], names, labels)


def test_scores_are_those_of_each_subset(data):
    x, y = data
    x = low_shot_features(x)
    torch.testing.assert_close(x.norm(dim=1), torch.ones(90))
    torch.testing.assert_close(x.mean(1), torch.zeros(90), atol=1e-6, rtol=0)
    subsets = [sample_subset(y[:60], shots=2, seed=seed) for seed in range(3)]
    weak, strong = low_shot(x[:60], y[:60], x[60:], y[60:], subsets, l2=[1e-3, 1.0])
    for result in (weak, strong):
        expected = []
        for subset in subsets:
            model = sklearn.linear_model.LogisticRegression(
                C=1 / result.l2, fit_intercept=False, tol=1e-8, max_iter=10000
            ).fit(x[subset].numpy(), y[subset].numpy())
            expected.append(model.score(x[60:].numpy(), y[60:].numpy()))
        assert result.top1 == pytest.approx(expected) and result.converged
        assert result.mean == pytest.approx(np.mean(expected))
        assert result.std == pytest.approx(np.std(expected, ddof=1))
    assert low_shot(x[:60], y[:60], x[60:], y[60:], subsets[:1], l2=[1.0])[0].std == 0


def test_bad_input(data):
    x, y = data
    with pytest.raises(ValueError, match='l2 must be positive'):
        LogisticRegression(0)
    with pytest.raises(ValueError, match=r'expected \(N, D\) and \(N,\)'):
        LogisticRegression(1).fit(x, y[1:], 3)
    with pytest.raises(ValueError, match='not finite'):
        LogisticRegression(1).fit(x / 0, y, 3)
    with pytest.raises(ValueError, match='from 0 to 2 are outside the 2 classes'):
        LogisticRegression(1).fit(x, y, 2)
    with pytest.raises(ValueError, match='before fit'):
        LogisticRegression(1).predict(x)
    with pytest.raises(ValueError, match='at least one subset'):
        low_shot(x, y, x, y, [])

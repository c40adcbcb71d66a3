"""K-means, a mixture with learned weights and prior-weighted k-means on unequal clusters."""

import sys

import numpy as np
import torch
from mmssl_prior.tools.figures.common import (
    BLUE,
    DARK,
    GREEN,
    VERMILION,
    figure,
    run,
)
from scipy.special import ndtr
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from mmssl_prior.insight import prior_kmeans, prior_kmeans_from

RATIO, SEPARATION, SMALL = 30, 5.0, 60
RATIOS = (2, 4, 8, 16, 32, 64)
FAR = 60.0


def clusters(ratio, separation, small=SMALL, seed=0, far=14.0):
    """One large cluster at the origin and two small ones, all of variance one."""
    rng = np.random.default_rng(seed)
    sizes = (ratio * small, small, small)
    centers = np.array([[0, 0], [far, separation / 2], [far, -separation / 2]])
    labels = np.repeat(np.arange(3), sizes)
    return centers[labels] + rng.normal(size=(len(labels), 2)), labels, centers


def kmeans_threshold(ratio):
    """Separation in standard deviations below which k-means splits the large cluster."""
    return 2 * np.sqrt(ratio / np.pi)


def prior_threshold(ratio):
    """The same, at most, with the true sizes as prior."""
    t = np.linspace(0, 8, 4001)
    density, beyond = np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi), ndtr(-t)
    gain = density**2 / (beyond * (1 - beyond)) - 2 * beyond * np.log(ratio)
    return np.sqrt(2 * ratio * max(gain.max(), 0))


def splits_large(ratio, separation, prior=None, small=150):
    """Whether the objective is lower with the large cluster in two and the small ones in one."""
    rows, _, centers = clusters(ratio, separation, small, far=FAR)
    starts = (centers, np.array([[0, -1], [0, 1], [FAR, 0]], float))
    prior = torch.ones(3) if prior is None else prior
    right, wrong = (prior_kmeans_from(rows, start, prior, 1.0).objective for start in starts)
    return wrong < right


def measured_threshold(ratio, prior=None, steps=9):
    """By bisection of the separation."""
    low, high = 0.0, 2 * kmeans_threshold(ratio)
    for _ in range(steps):
        middle = (low + high) / 2
        if splits_large(ratio, middle, prior):
            low = middle
        else:
            high = middle
    return (low + high) / 2


def accuracy(labels, found):
    """Share of the images of each cluster that lie in the cluster found for it, best matched."""
    from scipy.optimize import linear_sum_assignment

    table = np.zeros((3, 3))
    np.add.at(table, (labels, found), 1)
    matched = linear_sum_assignment(-table)
    return table[matched] / table.sum(1)


def compute(ratios=RATIOS):
    rows, labels, _ = clusters(RATIO, SEPARATION)
    prior = torch.tensor([RATIO, 1.0, 1.0])
    mixture = GaussianMixture(3, covariance_type='spherical', n_init=5, random_state=0)
    found = {
        'k-means': KMeans(3, n_init=10, random_state=0).fit_predict(rows),
        'mixture, learned weights': mixture.fit_predict(rows),
        'prior-weighted k-means': prior_kmeans(rows, prior, 1.0).labels,
    }
    return dict(
        rows=rows,
        labels=labels,
        found=found,
        weights=np.sort(mixture.weights_)[::-1],
        recovered={name: accuracy(labels, each) for name, each in found.items()},
        ratios=np.array(ratios),
        kmeans=np.array([measured_threshold(ratio) for ratio in ratios]),
        weighted=np.array(
            [measured_threshold(ratio, torch.tensor([ratio, 1.0, 1.0])) for ratio in ratios]
        ),
    )


def draw(found):
    made, axes = figure(2, 2, height=3.2)
    for axis, (name, labels) in zip(axes.ravel(), found['found'].items()):
        rows = found['rows']
        order = np.argsort(-np.bincount(labels, minlength=3), kind='stable')
        for place, (cluster, color) in enumerate(zip(order, (BLUE, VERMILION, GREEN))):
            chosen = labels == cluster
            marker = 'o^s'[place]
            axis.plot(*rows[chosen].T, marker, ms=3, color=color, alpha=0.5, mew=0)
            mean = rows[chosen].mean(0)
            axis.plot(*mean, '+', ms=14, mew=3.5, color='white')
            axis.plot(*mean, '+', ms=12, mew=2, color=DARK)
        axis.set(title=name, aspect='equal', xlim=(-5, 18), ylim=(-7, 7))
    axis = axes[1, 1]
    line = np.geomspace(1, 100, 100)
    axis.plot(line, kmeans_threshold(line), color=BLUE, label='k-means: formula')
    axis.plot(found['ratios'], found['kmeans'], 'o', color=BLUE, label='measured')
    axis.plot(
        line,
        [prior_threshold(ratio) for ratio in line],
        '--',
        color=VERMILION,
        label='true prior: bound',
    )
    axis.plot(found['ratios'], found['weighted'], '^', color=VERMILION, label='measured')
    axis.set(
        xscale='log',
        xlabel='size of the large cluster / small',
        ylabel='separation in std',
        title='Small clusters merge below',
        ylim=(0, 12),
    )
    axis.legend()
    return made


def say(found):
    for name, shares in found['recovered'].items():
        print(f'{name}: recovered of the large and the small clusters', *shares.round(2))
    print('learned weights', *found['weights'].round(3))
    print('ratio', *found['ratios'])
    print('k-means, formula', *kmeans_threshold(found['ratios']).round(2))
    print('k-means, measured', *found['kmeans'].round(2))
    print('true prior, bound', *(round(float(prior_threshold(r)), 2) for r in found['ratios']))
    print('true prior, measured', *found['weighted'].round(2))


def main(argv=None):
    return run('uniform_effect', compute, draw, say, __doc__, argv)


if __name__ == '__main__':
    sys.exit(main())

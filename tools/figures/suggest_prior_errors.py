"""Errors of tools/suggest_prior.py on data of known exponent: bias, spread, coverage."""

import sys

import numpy as np
import torch
from mmssl_prior.tools.figures.common import BLUE, DARK, GREEN, VERMILION, figure, run

from mmssl_prior.datasets import DigitsLT, PatternsLT, power_law_counts
from mmssl_prior.functional import power_law_prior
from mmssl_prior.insight import (
    POWER_LAW,
    PixelEncoder,
    cluster_sizes,
    estimators,
    fit_law,
    principal_components,
)

COUNT_CASES = ((10, 200), (100, 2000), (100, 20000))
EXPONENTS = (0.0, 0.25, 1.0)
SEEDS, REPEATS, HALVES = 4, 60, 5
#: Typical distance of two clusters in standard deviations of a cluster.
SEPARATIONS = {'overlapping': 6.0, 'apart': 12.0}
CLUSTERS, IMAGES, WIDTH = 12, 1200, 16
FEATURE_EXPONENTS = (0.0, 0.5, 1.0)


def count_errors(cases=COUNT_CASES, exponents=EXPONENTS, repeats=REPEATS):
    """Mean of the raw and of the corrected estimate, its spread, coverage of the interval."""
    rows = []
    for classes, images in cases:
        for exponent in exponents:
            probs = power_law_prior(classes, exponent).numpy()
            fits = [
                fit_law(
                    POWER_LAW,
                    np.random.default_rng(repeat).multinomial(images, probs),
                    simulations=200,
                    seed=1000 + repeat,
                )
                for repeat in range(repeats)
            ]
            estimates = np.array([fit.estimate for fit in fits])
            rows.append(
                dict(
                    classes=classes,
                    images=images,
                    exponent=exponent,
                    raw=float(np.mean([fit.raw for fit in fits])),
                    estimate=float(estimates.mean()),
                    median=float(np.median(estimates)),
                    spread=float(estimates.std()),
                    covered=float(np.mean([fit.low <= exponent <= fit.high for fit in fits])),
                )
            )
    return rows


def gaussians(exponent, separation, seed, clusters=CLUSTERS, images=IMAGES, width=WIDTH):
    """Features of isotropic Gaussian clusters at random places, of power-law sizes."""
    rng = np.random.default_rng(seed)
    sizes = power_law_counts(images, clusters, exponent)
    centers = rng.normal(size=(clusters, width)) * separation / np.sqrt(2 * width)
    return np.repeat(centers, sizes, 0) + rng.normal(size=(images, width))


def pixels(data):
    """Features of images as ``--encoder pixels`` has them."""
    images = np.stack([data.get_data_info(i)['img'] for i in range(len(data))])
    tensors = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    return PixelEncoder()(tensors).numpy()


def feature_errors(sources, halves=HALVES, granularities=(CLUSTERS, 3 * CLUSTERS), components=30):
    """Estimates of every estimator.

    Args:
        sources: (name, exponent, features).
        halves: For the intervals.
        granularities: Of k-means.
        components: Of a mixture.
    """
    rows = []
    for name, exponent, features in sources:
        points = principal_components(features, normalise=False)
        for estimator in estimators(granularities, components):
            found = cluster_sizes(points, estimator, halves)
            rows.append(
                dict(
                    source=name,
                    true=exponent,
                    estimator=found.estimator,
                    exponent=found.exponent,
                    low=found.low,
                    high=found.high,
                    stability=found.stability,
                    counts=not found.doubt and not found.biased,
                    biased=found.biased,
                )
            )
    return rows


def synthetic(seeds=SEEDS):
    for name, separation in SEPARATIONS.items():
        for exponent in FEATURE_EXPONENTS:
            for seed in range(seeds):
                yield name, exponent, gaussians(exponent, separation, seed)


def embedded():
    for exponent in FEATURE_EXPONENTS:
        digits = DigitsLT(exponent=exponent, images_per_class=1, class_seed=1)
        yield 'digits, pixels', exponent, pixels(digits)
        patterns = PatternsLT(exponent=exponent, num_images=1000)
        yield 'patterns, pixels', exponent, pixels(patterns)


def compute():
    return dict(counts=count_errors(), features=feature_errors([*synthetic(), *embedded()]))


def summary(rows):
    """By source, exponent and estimator: mean, spread, coverage, how many count."""
    keys = list(dict.fromkeys((r['source'], r['true'], r['estimator']) for r in rows))
    for key in keys:
        found = [r for r in rows if (r['source'], r['true'], r['estimator']) == key]
        values = np.array([r['exponent'] for r in found])
        covered = [r['low'] <= r['true'] <= r['high'] for r in found if np.isfinite(r['low'])]
        yield dict(
            source=key[0],
            true=key[1],
            estimator=key[2],
            mean=float(np.nanmean(values)) if np.isfinite(values).any() else float('nan'),
            spread=float(np.nanstd(values)) if np.isfinite(values).any() else float('nan'),
            covered=f'{sum(covered)}/{len(covered)}',
            counted=f'{sum(r["counts"] for r in found)}/{len(found)}',
        )


def draw(found):
    made, axes = figure(1, 3, width=4.2, height=3.8)
    left, *others = axes[0]
    rows = [row for row in found['counts'] if row['images'] == 2000]
    true = [row['exponent'] for row in rows]
    left.plot([0, 1.1], [0, 1.1], color=DARK, lw=1)
    left.plot(true, [row['raw'] for row in rows], 'o', mfc='white', color=VERMILION, label='raw')
    left.errorbar(
        true,
        [row['estimate'] for row in rows],
        [2 * row['spread'] for row in rows],
        fmt='s',
        color=BLUE,
        label='corrected, ± 2 std',
    )
    left.set(xlabel='true exponent', ylabel='estimate', title='Counts: 100 classes, 2000 images')
    left.legend(loc='upper left')
    styles = {
        f'k-means, {CLUSTERS}': (VERMILION, 'o', -0.06),
        'mixture, spherical': (BLUE, 's', -0.02),
        'mixture, diagonal': ('#56B4E9', 'D', 0.02),
        'density (HDBSCAN)': (GREEN, '^', 0.06),
    }
    for axis, source in zip(others, SEPARATIONS):
        axis.plot([-0.1, 1.1], [-0.1, 1.1], color=DARK, lw=1)
        for name, (color, marker, shift) in styles.items():
            chosen = [
                r for r in found['features'] if (r['source'], r['estimator']) == (source, name)
            ]
            for trusted in (True, False):
                part = [r for r in chosen if r['counts'] == trusted]
                axis.plot(
                    [r['true'] + shift for r in part],
                    [r['exponent'] for r in part],
                    marker,
                    ms=5,
                    color=color,
                    mfc=color if trusted else 'white',
                    label=name if trusted != name.startswith('k-means') else None,
                )
        axis.set(xlabel='true exponent', title=f'Features: {source}', ylim=(-0.1, 2.1))
    others[-1].legend(loc='upper left')
    return made


def say(found):
    print('counts')
    print('classes images exponent raw corrected median spread covered')
    for row in found['counts']:
        print(
            f'{row["classes"]} {row["images"]} {row["exponent"]} {row["raw"]:.3f} '
            f'{row["estimate"]:.3f} {row["median"]:.3f} {row["spread"]:.3f} {row["covered"]:.0%}'
        )
    print('features')
    for row in summary(found['features']):
        print(
            f'{row["source"]} | {row["true"]} | {row["estimator"]} | {row["mean"]:.2f} | '
            f'{row["spread"]:.2f} | {row["covered"]} | {row["counted"]}'
        )


def main(argv=None):
    return run('suggest_prior_errors', compute, draw, say, __doc__, argv)


if __name__ == '__main__':
    sys.exit(main())

"""Pictures of class sizes, of the laws that were fitted to them, and of the priors they lead to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..evaluation.plots import STYLE
from ..functional import power_law_prior
from .cluster_sizes import ClusterSizes
from .prior_fit import PriorFit
from .prior_suggestion import Suggestion
from .prototype_spread import spread_classes
from .rank_laws import EXPONENTIAL, POWER_LAW

__all__ = ['PALETTE', 'plot_class_counts', 'plot_cluster_sizes']

#: Okabe and Ito's, which colour-blind readers can tell apart.
BLUE, VERMILION, GREEN, PURPLE, SKY, YELLOW = PALETTE = (
    '#0072B2',
    '#D55E00',
    '#009E73',
    '#CC79A7',
    '#56B4E9',
    '#E69F00',
)
DARK, PALE = '#22272e', '#9aa3ad'


def _figure(columns: int) -> Any:
    # Without pyplot no display is needed and no figure stays in memory.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.0 * columns, 4.0), layout='constrained')
    return figure, figure.subplots(1, columns)


def _log_axes(axis: Any, xlabel: str, ylabel: str, title: str) -> None:
    axis.set(xscale='log', yscale='log', xlabel=xlabel, ylabel=ylabel, title=title)


def plot_class_counts(path: str | Path, fit: PriorFit, suggestion: Suggestion) -> None:
    """Ranked counts with uniform, exponential and power law; priors over K prototypes.

    Args:
        path: File to write.
        fit: Of the counts.
        suggestion: From the fit.
    """
    import matplotlib

    counts, k = fit.counts, suggestion.num_prototypes
    ranks, total = np.arange(1, len(counts) + 1), counts.sum()
    power, exponential = fit.power_law, fit.exponential
    with matplotlib.rc_context(STYLE):
        figure, (left, right) = _figure(2)
        seen = counts > 0
        left.plot(ranks[seen], counts[seen], 'o', ms=4, color=DARK, label='counts (empirical)')
        lines = (
            ('uniform', PALE, ':', np.zeros(len(counts)) - np.log(len(counts))),
            (
                f'power law, exponent {power.estimate:.2f}',
                BLUE,
                '-',
                POWER_LAW.log_probs(len(counts), power.estimate),
            ),
            (
                f'exponential, rate {exponential.estimate:.3g}',
                VERMILION,
                '--',
                EXPONENTIAL.log_probs(len(counts), exponential.estimate),
            ),
        )
        for label, color, style, logs in lines:
            left.plot(ranks, total * np.exp(logs), style, color=color, label=label)
        floor = max(counts[seen].min() / 3, 0.3)
        _log_axes(left, 'rank of the class', 'images', 'Class sizes')
        left.set_ylim(floor, counts.max() * 2)
        left.legend(loc='lower left')
        places = np.arange(1, k + 1)
        sizes = torch.from_numpy(counts[seen] * 1.0)
        for label, color, style, prior in (
            ('uniform', PALE, ':', power_law_prior(k, 0.0)),
            ('counts, equally many each', DARK, '-', spread_classes(sizes, k)),
            ('counts, alpha 1/2', SKY, '--', spread_classes(sizes, k, 0.5)),
            (
                f'PowerLawPrior({suggestion.exponent or 0:g})',
                BLUE,
                '-',
                power_law_prior(k, suggestion.exponent or 0.0),
            ),
        ):
            right.plot(places, prior.numpy(), style, color=color, label=label)
        _log_axes(right, 'prototype', 'prior', f'Prior over {k} prototypes')
        right.legend(loc='lower left')
        figure.savefig(path)


def plot_cluster_sizes(path: str | Path, estimates: Sequence[ClusterSizes]) -> None:
    """Ranked sizes of each estimator's clusters, and the exponents with their intervals.

    Args:
        path: File to write.
        estimates: One for each estimator.
    """
    import matplotlib

    with matplotlib.rc_context(STYLE):
        figure, (left, right) = _figure(2)
        for place, entry in enumerate(estimates):
            color = PALETTE[place % len(PALETTE)]
            style = ':' if entry.biased else '--' if entry.doubt else '-'
            ranks = np.arange(1, len(entry.sizes) + 1)
            left.plot(ranks, entry.sizes, style, marker='.', ms=4, color=color)
            if np.isfinite(entry.low):
                right.plot([entry.low, entry.high], [place, place], style, color=color, lw=2.5)
            hollow = entry.biased or bool(entry.doubt)
            if np.isfinite(entry.exponent):
                right.plot(
                    entry.exponent,
                    place,
                    'o',
                    color=color,
                    mfc='white' if hollow else color,
                    clip_on=False,
                )
        _log_axes(left, 'rank of the cluster', 'images', 'Cluster sizes')
        right.set(xlabel='exponent over clusters', title='Hollow: biased or in doubt')
        right.set_yticks(range(len(estimates)), [entry.estimator for entry in estimates])
        right.invert_yaxis()
        right.set_xlim(left=0)
        right.grid(axis='y', visible=False)
        figure.savefig(path)

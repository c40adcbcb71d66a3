"""Pictures of a pretraining run."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .prototype_usage import PrototypeUsage

__all__ = ['plot_curves', 'plot_prototype_usage', 'plot_training_curves']

BLUE, ORANGE, GREEN, GRAY, INK = '#2a6fbb', '#d9742b', '#2f9e6b', '#9aa3ad', '#22272e'
CYCLE = (BLUE, ORANGE, GREEN, '#8b5fb5', '#c2475f', '#5b6b7a')
# Curves of so few points show each of them.
MARKED = 20
STYLE: Any = {
    'axes.edgecolor': GRAY,
    'axes.labelcolor': INK,
    'axes.titlelocation': 'left',
    'axes.titlesize': 11,
    'axes.titleweight': 'bold',
    'figure.constrained_layout.h_pad': 0.1,
    'figure.constrained_layout.w_pad': 0.1,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'grid.color': '#e8ebee',
    'font.size': 10,
    'legend.frameon': False,
    'legend.fontsize': 9,
    'lines.linewidth': 1.8,
    'xtick.color': INK,
    'ytick.color': INK,
    'savefig.dpi': 130,
}
Curves = dict[str, tuple[list[float], list[float]]]


def _figure(rows: int, columns: int, size: tuple[float, float]):
    # Without pyplot no display is needed and no figure stays in memory.
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout='constrained')
    return figure, figure.subplots(rows, columns)


def plot_curves(
    path: str | Path,
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    xlabel: str = 'epoch',
    title: str = '',
) -> None:
    """Curves of one or several runs, one panel for each scalar, as an image file.

    Args:
        path: File to write; its ending names the format.
        panels: By name of the scalar and label of the run, x and values.
        xlabel: Below every panel.
        title: Above all.
    """
    import matplotlib

    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(rows, columns, (max(4.2 * columns, 6.0), 3.1 * rows + 0.5))
        flat = np.asarray(axes).ravel()
        # A run keeps its colour in the panels of keys that others did not log.
        labels = list(dict.fromkeys(label for runs in panels.values() for label in runs))
        lines = {}
        for axis, (name, runs) in zip(flat, panels.items()):
            for label, (xs, ys) in runs.items():
                # A single point makes no line.
                marker = 'o' if len(xs) <= MARKED else None
                color = CYCLE[labels.index(label) % len(CYCLE)]
                (lines[label],) = axis.plot(xs, ys, color=color, marker=marker, ms=4)
            axis.set_title(name)
            axis.set_xlabel(xlabel)
        for axis in flat[len(panels) :]:
            axis.set_visible(False)
        if len(lines) > 1:
            figure.legend(lines.values(), lines.keys(), loc='outside lower center', ncols=3)
        if title:
            figure.suptitle(title, fontweight='bold', color=INK)
        figure.savefig(path)


def plot_training_curves(
    path: str | Path,
    curves: Curves,
    log_prior: Tensor | None = None,
    baselines: dict[str, float] | None = None,
) -> None:
    """Losses, usage of the prototypes and k-NN accuracy over the epochs, as a PNG.

    Args:
        path: File to write.
        curves: x in epochs and values by name of the logged scalar; those
            that are missing leave their panel empty.
        log_prior: Logarithm of the prior, shape (K,); adds the entropy of the
            prior and log K, and the limit K.
        baselines: k-NN accuracies to compare with, by name.
    """
    import matplotlib

    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(2, 2, (10, 6.2))
        (losses, entropies), (prototypes, knn) = axes
        # Two axes: the divergence is small beside the cross-entropy, and neither is flat.
        divergence = losses.twinx()
        divergence.grid(False)
        divergence.spines['right'].set_visible(True)
        for axis, name, label, color in (
            (losses, 'loss_ce', 'cross-entropy', BLUE),
            (divergence, 'prior_kl', 'KL(p̄ ‖ prior)', ORANGE),
        ):
            if name in curves:
                axis.plot(*curves[name], color=color)
            axis.set_ylabel(label, color=color)
            axis.tick_params(axis='y', colors=color)
            axis.set_ylim(bottom=0)
        losses.set_title('Loss terms')

        if 'p_bar_entropy' in curves:
            entropies.plot(*curves['p_bar_entropy'], color=BLUE, label='mean prediction p̄')
        entropies.set_title('Entropy of p̄ (nats)')
        if 'target_prototypes' in curves:
            prototypes.plot(*curves['target_prototypes'], color=BLUE, label='used by a batch')
        prototypes.set_title('Distinct prototypes among the targets')
        if log_prior is not None:
            log_prior = log_prior.double().cpu()
            entropies.axhline(
                -float((log_prior.exp() * log_prior).sum()),
                color=INK,
                ls='--',
                lw=1.2,
                label='prior',
            )
            entropies.axhline(math.log(len(log_prior)), color=GRAY, ls=':', lw=1.4, label='log K')
            prototypes.axhline(
                len(log_prior), color=GRAY, ls=':', lw=1.4, label=f'K = {len(log_prior)}'
            )

        if 'knn_top1' in curves:
            knn.plot(*curves['knn_top1'], color=GREEN, marker='o', ms=4, label='pretraining')
        for (name, value), style in zip((baselines or {}).items(), ('--', ':', '-.')):
            knn.axhline(value, color=INK if style == '--' else GRAY, ls=style, lw=1.4, label=name)
        knn.set_title('k-NN top-1 on the test split')
        knn.set_ylim(0, 1)
        # Only now: setting one limit freezes the other at what is drawn so far.
        prototypes.set_ylim(bottom=0)
        for axis in axes.flat:
            axis.set_xlabel('epoch')
            axis.set_xlim(left=0)
            if axis.get_legend_handles_labels()[0]:
                # A line across the axes does not count for matplotlib's choice of a free corner.
                axis.legend(loc='lower left' if axis is entropies else 'best')
        figure.savefig(path)


def plot_prototype_usage(path: str | Path, usage: PrototypeUsage, log_prior: Tensor) -> None:
    """Usage of the prototypes against the prior, as a PNG.

    Left by the prototype's rank in the prior; right each sorted by itself,
    which shows the shape whatever the order.

    Args:
        path: File to write.
        usage: Of K prototypes.
        log_prior: Logarithm of the prior in the order of the prototypes, shape (K,).
    """
    import matplotlib

    prior, ranked = log_prior.double().exp().cpu().sort(descending=True, stable=True)
    p_bar, counts = usage.p_bar.cpu()[ranked], usage.counts.double().cpu()[ranked]
    share = counts / counts.sum()
    ranks = range(1, len(prior) + 1)
    # Unused prototypes have no place on a logarithmic axis: they are drawn at its foot.
    foot = float(torch.cat([prior, p_bar[p_bar > 0], share[share > 0]]).min()) / 2
    with matplotlib.rc_context(STYLE):
        figure, (by_rank, by_size) = _figure(1, 2, (10, 4.2))
        for axis, order in ((by_rank, False), (by_size, True)):

            def values(x, order=order):
                return (x.sort(descending=True).values if order else x).clamp_min(foot).numpy()

            axis.bar(
                ranks,
                values(share) - foot,
                bottom=foot,
                width=1.0,
                color='#c9dcf0',
                label='share of argmax assignments',
            )
            axis.plot(
                ranks,
                values(p_bar),
                color=BLUE,
                marker='.',
                ms=5,
                lw=1 if order else 0,
                label='mean prediction p̄',
            )
            axis.plot(ranks, values(prior), color=ORANGE, lw=2.2, label='prior π')
            axis.set_yscale('log')
            axis.set_ylim(bottom=foot)
            axis.set_xlim(0.5, len(prior) + 0.5)
            axis.set_ylabel('probability')
        by_rank.set_xlabel('prototype (its rank in the prior)')
        by_rank.set_title('Usage of each prototype')
        by_size.set_xlabel('rank (each curve sorted by itself)')
        by_size.set_title('The same, sorted')
        by_size.text(
            0.04,
            0.06,
            f'{usage.num_used} of {len(prior)} used\neffective number '
            f'{usage.effective_number:.1f}\nKL(p̄ ‖ π) = {usage.kl_to_prior:.3f}',
            transform=by_size.transAxes,
        )
        figure.legend(*by_rank.get_legend_handles_labels(), loc='outside lower center', ncols=3)
        figure.savefig(path)

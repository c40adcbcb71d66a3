"""A record of a training's health as a picture."""

import numpy as np
import torch
from torch import Tensor

from ..evaluation.plots import BLUE, GRAY, INK, ORANGE, STYLE
from .health import HealthRecord

__all__ = ['draw_health']

DPI = 100


def draw_health(record: HealthRecord) -> np.ndarray:
    """Usage against the prior, duplicates and spectrum, as an RGB image.

    Left the usage of each prototype, by its rank in the prior; then each curve
    sorted by itself; then the cosine of each prototype to its nearest
    neighbour, sorted; then the singular values of the features as shares of
    their sum. Without prototypes the spectrum alone.

    Args:
        record: Of one iteration.

    Returns:
        uint8 of shape (H, W, 3).
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        with_prototypes = record.usage is not None
        columns = 4 if with_prototypes else 1
        figure = Figure(figsize=(3.6 * columns, 3.2), dpi=DPI, layout='constrained')
        axes = np.atleast_1d(figure.subplots(1, columns))
        if with_prototypes:
            _draw_usage(axes[0], record, by_size=False)
            _draw_usage(axes[1], record, by_size=True)
            _draw_neighbours(axes[2], record)
        _draw_spectrum(axes[-1], record)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_usage(axis, record: HealthRecord, by_size: bool) -> None:
    assert record.usage is not None and record.log_prior is not None
    prior, order = record.log_prior.double().exp().cpu().sort(descending=True, stable=True)
    p_bar, shares = record.usage.p_bar.cpu()[order], record.usage.shares.cpu()[order]
    # Unused prototypes have no place on a logarithmic axis: they are drawn at its foot.
    foot = float(torch.cat([prior, p_bar[p_bar > 0], shares[shares > 0]]).min()) / 2

    def values(x: Tensor) -> np.ndarray:
        return (x.sort(descending=True).values if by_size else x).clamp_min(foot).numpy()

    ranks = np.arange(1, len(prior) + 1)
    axis.plot(ranks, values(shares), color=GRAY, marker='.', ms=3, lw=0, label='first choice')
    axis.plot(ranks, values(p_bar), color=BLUE, marker='.', ms=3, lw=0, label='mean prediction')
    axis.plot(ranks, values(prior), color=ORANGE, label='prior')
    axis.set_yscale('log')
    axis.set_xlabel('rank, each sorted' if by_size else 'prototype, in the order of the prior')
    axis.set_title('The same, sorted' if by_size else f'Usage, {record.usage.images} images')
    if not by_size:
        axis.legend(loc='lower left', frameon=True, framealpha=0.8)


def _draw_neighbours(axis, record: HealthRecord) -> None:
    assert record.prototypes is not None
    nearest = record.prototypes.nearest.sort(descending=True).values.cpu().numpy()
    axis.plot(np.arange(1, len(nearest) + 1), nearest, color=BLUE)
    axis.set_ylim(top=1.02)
    axis.set_xlabel('prototype, sorted')
    axis.set_title(f'Nearest cosine, {record.prototypes.distinct} distinct')


def _draw_spectrum(axis, record: HealthRecord) -> None:
    values = record.features.spectrum.cpu()
    shares = values / values.sum()
    # Rounding leaves values where there is nothing.
    shares = shares[shares > torch.finfo(torch.float32).eps]
    axis.plot(np.arange(1, len(shares) + 1), shares.numpy(), color=INK)
    if len(shares):
        axis.set_yscale('log')
    axis.set_xlabel('singular value')
    axis.set_title(f'Features, RankMe {record.features.rankme:.1f} of {len(values)}')

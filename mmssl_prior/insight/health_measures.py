"""What shows in a batch whether a representation or its prototypes have collapsed."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError
from ..evaluation import covariance_spectrum, effective_rank
from ..functional import all_reduce_sum, entropy, kl_divergence, whole_tensor

__all__ = [
    'FeatureMeasures',
    'PredictionSums',
    'PrototypeMeasures',
    'UsageMeasures',
    'expected_distinct',
    'measure_features',
    'measure_prototypes',
    'measure_usage',
    'relative_distance',
    'sum_predictions',
    'total_norm',
]


class FeatureMeasures(NamedTuple):
    """Measures of N features of width D; the formulas stand in :func:`measure_features`."""

    rankme: float
    std: float
    norm: float
    spectrum: Tensor


class PredictionSums(NamedTuple):
    """What adds up over batches: mass and argmax counts of K prototypes, entropies, images."""

    mass: Tensor
    counts: Tensor
    entropy: float
    images: int


class UsageMeasures(NamedTuple):
    """How K prototypes are used; the formulas stand in :func:`measure_usage`."""

    p_bar: Tensor
    shares: Tensor
    kl: float
    total_variation: float
    effective: float
    used: int
    expected: float
    entropy: float
    information: float
    images: int


class PrototypeMeasures(NamedTuple):
    """How far K prototypes lie apart; the formulas stand in :func:`measure_prototypes`."""

    nearest: Tensor
    distinct: int


@torch.no_grad()
def measure_features(features: Tensor) -> FeatureMeasures:
    r"""Rank, spread and length of features.

    .. math::
        \text{rankme} &= \exp H(\sigma / \textstyle\sum_k \sigma_k) \\
        \text{std} &= \frac{1}{\sqrt D} \sum_c \mathrm{std}_i (z_{ic} / \|z_i\|) \\
        \text{norm} &= \frac{1}{N} \sum_i \|z_i\|

    with the singular values :math:`\sigma_1 \ge \sigma_2 \dots` of the
    features, not centred, which are the ``spectrum``. RankMe is at most
    min(N, D), so that only values of one N compare; 1 means that all features
    are multiples of one. ``std`` is 1 where directions are spread evenly over
    the sphere, and 0 where all are the same. Everything is NaN where a feature
    is not finite.

    Args:
        features: Shape (N, D), of all ranks.

    Raises:
        ValueError: If the shape is another.

    Example:
        >>> health = measure_features(torch.tensor([[1., 0.], [-1., 0.], [0., 1.], [0., -1.]]))
        >>> round(health.rankme, 4), round(health.std, 4), health.norm
        (2.0, 1.0, 1.0)
    """
    if not torch.isfinite(features).all():
        nan = float('nan')
        return FeatureMeasures(nan, nan, nan, features.new_full((min(features.shape),), nan))
    eigenvalues = covariance_spectrum(features, centred=False)[: min(features.shape)]
    spectrum = (len(features) * eigenvalues).sqrt()
    directions = F.normalize(features.double(), dim=1)
    std = directions.std(0, correction=0).mean() * math.sqrt(features.shape[1])
    return FeatureMeasures(
        rankme=effective_rank(spectrum) if spectrum[0] > 0 else 1.0,
        std=std.item(),
        norm=features.double().norm(dim=1).mean().item(),
        spectrum=spectrum,
    )


@torch.no_grad()
def sum_predictions(log_probs: Tensor) -> PredictionSums:
    """Sums over the predictions of all ranks (global), equal on all of them.

    Args:
        log_probs: This rank's log-predictions, shape (n, K); n may differ
            between ranks.

    Returns:
        Float64 mass (K,), the sum of the probabilities, and counts (K,), of
        the predictions of which it is the largest; the sum of the
        predictions' entropies in nats; their number N. One collective.
    """
    # Nothing at all adds 0 to an entropy; 0 * -inf would be NaN.
    log_probs = log_probs.double().clamp_min(torch.finfo(torch.float64).min)
    largest = torch.zeros_like(log_probs[0]).scatter_add_(
        0, log_probs.argmax(1), log_probs.new_ones(len(log_probs))
    )
    scalars = torch.stack([entropy(log_probs).sum(), log_probs.new_full((), len(log_probs))])
    total = all_reduce_sum(torch.cat([log_probs.exp().sum(0), largest, scalars]))
    mass, counts = total[:-2].chunk(2)
    entropies, images = total[-2:].tolist()
    return PredictionSums(mass, counts, entropies, round(images))


@torch.no_grad()
def measure_usage(batches: Sequence[PredictionSums], log_prior: Tensor) -> UsageMeasures:
    r"""Usage of prototypes over some batches, beside the prior.

    .. math::
        \bar p_k &= \frac{1}{N} \sum_i p_{ik}, \qquad
        s_k = \frac{1}{N} |\{i : \arg\max_j p_{ij} = k\}| \\
        \text{kl} &= KL(\bar p \| \pi), \qquad
        \text{total variation} = \tfrac{1}{2} \textstyle\sum_k |\bar p_k - \pi_k| \\
        \text{effective} &= \exp H(\bar p), \qquad
        \text{used} = |\{k : s_k > 0\}|, \qquad
        \text{expected} = \textstyle\sum_k 1 - (1 - \pi_k)^N \\
        \text{entropy} &= \frac{1}{n} \sum_i H(p_i), \qquad
        \text{information} = H(\bar p) - \text{entropy}

    over all N images, but entropy and information over the n of the last
    batch, as weights move between batches. The information is that between
    image and prototype, 0 where all predictions are the same whatever they
    are. ``expected`` is how many prototypes N independent images would use if
    each took prototype k with probability :math:`\pi_k`.

    Args:
        batches: The sums of each batch, oldest first.
        log_prior: Shape (K,).

    Raises:
        ValueError: If there is no batch or the prior is of another length.

    Example:
        >>> sums = sum_predictions(torch.tensor([[.9, .1], [.1, .9]]).log())
        >>> usage = measure_usage([sums], torch.tensor([.75, .25]).log())
        >>> usage.used, round(usage.total_variation, 4), round(usage.information, 4)
        (2, 0.25, 0.3681)
    """
    if not batches or batches[-1].mass.shape != log_prior.shape:
        raise UserError(
            f'usage of {len(batches)} batches, prior over {tuple(log_prior.shape)} prototypes'
        )
    images, last = sum(batch.images for batch in batches), batches[-1]
    p_bar = torch.stack([batch.mass for batch in batches]).sum(0) / images
    shares = torch.stack([batch.counts for batch in batches]).sum(0) / images
    log_prior = log_prior.to(p_bar)
    single = last.entropy / last.images
    return UsageMeasures(
        p_bar=p_bar,
        shares=shares,
        kl=kl_divergence(_log(p_bar), log_prior).item(),
        total_variation=(p_bar - log_prior.exp()).abs().sum().item() / 2,
        effective=entropy(_log(p_bar)).exp().item(),
        used=int((shares > 0).sum()),
        expected=expected_distinct(log_prior, images),
        entropy=single,
        information=entropy(_log(last.mass / last.images)).item() - single,
        images=images,
    )


def expected_distinct(log_prior: Tensor, images: int) -> float:
    r"""Prototypes that N independent images use on average: :math:`\sum_k 1 - (1 - \pi_k)^N`.

    Example:
        >>> round(expected_distinct(torch.full((1024,), 1 / 1024).log(), 128), 1)
        120.4
    """
    prior = log_prior.double().exp()
    return -torch.expm1(images * torch.log1p(-prior)).sum().item()


@torch.no_grad()
def measure_prototypes(prototypes: Tensor, temperature: float) -> PrototypeMeasures:
    r"""Cosine of each prototype to its nearest neighbour, and the number of distinct ones.

    Prototypes w and v are duplicates where no image can tell them apart by
    more than a nat: the largest difference of log-probabilities that an
    embedding of length 1 can give is

    .. math:: \max_z \frac{|z \cdot (\hat w - \hat v)|}{\tau}
              = \frac{\sqrt{2 - 2 \cos(w, v)}}{\tau} \le 1
              \iff \cos(w, v) \ge 1 - \frac{\tau^2}{2}

    Args:
        prototypes: Shape (K, D).
        temperature: tau of the softmax over cosines.

    Returns:
        ``nearest``, float32 (K,), and ``distinct``, the number of groups that
        duplicates of duplicates form.

    Example:
        >>> w = torch.tensor([[1., 0.], [2., 0.], [0., 1.]])
        >>> measure_prototypes(w, 0.1)
        PrototypeMeasures(nearest=tensor([1., 1., 0.]), distinct=2)
    """
    w = F.normalize(prototypes.float(), dim=1)
    cosines = w @ w.T
    duplicates = cosines >= 1 - temperature**2 / 2
    nearest = cosines.fill_diagonal_(-1.0).max(1).values.clamp(-1.0, 1.0)
    return PrototypeMeasures(nearest, _components(duplicates))


def _components(linked: Tensor) -> int:
    """Number of connected components of a symmetric relation, bool of shape (K, K)."""
    labels = torch.arange(len(linked), device=linked.device)
    linked = linked.clone().fill_diagonal_(True)
    while True:
        # Each takes the smallest label among its neighbours; then labels jump to their own.
        smaller = torch.where(linked, labels, len(linked)).min(1).values
        smaller = smaller[smaller]
        if torch.equal(smaller, labels):
            return int((labels == torch.arange(len(labels), device=labels.device)).sum())
        labels = smaller


@torch.no_grad()
def relative_distance(targets: Sequence[Tensor], trained: Sequence[Tensor]) -> float:
    r"""Distance of target weights from the trained ones: :math:`\|t - w\| / \|w\|` over all.

    Example:
        >>> relative_distance([torch.tensor([3., 0.])], [torch.tensor([3., 4.])])
        0.8
    """
    distance, length = (
        total_norm(torch._foreach_sub(list(targets), list(trained))),
        total_norm(trained),
    )
    return distance / length if length else float(distance > 0)


@torch.no_grad()
def total_norm(tensors: Sequence[Tensor]) -> float:
    """Norm of all numbers in all tensors.

    Example:
        >>> total_norm([torch.tensor([3., 0.]), torch.tensor([[4.]])])
        5.0
    """
    return whole_tensor(torch.stack(torch._foreach_norm(list(tensors)))).double().norm().item()


def _log(p: Tensor) -> Tensor:
    """Logarithms, finite also where there is no mass at all: 0 * -inf would be NaN."""
    return p.log().clamp_min(torch.finfo(p.dtype).min)

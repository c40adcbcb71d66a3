"""Measures of a representation that need no labels."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError

__all__ = ['alignment', 'covariance_spectrum', 'effective_rank', 'rankme', 'uniformity']

CHUNK = 4096


@torch.no_grad()
def covariance_spectrum(features: Tensor, centred: bool = True) -> Tensor:
    r"""Eigenvalues of the covariance of the features, largest first.

    .. math:: \frac{1}{N} \sum_i (z_i - \mu) (z_i - \mu)^\top

    Summed in double precision and in pieces, so that main memory holds the
    features once. The square roots of N times the uncentred eigenvalues are
    the singular values of the feature matrix.

    Args:
        features: Shape (N, D), finite.
        centred: Whether the mean is taken off; without, the second moment.

    Returns:
        Float64 eigenvalues >= 0 of shape (D,).

    Raises:
        ValueError: If the shape is another or a feature is not finite.

    Example:
        >>> covariance_spectrum(torch.tensor([[1., 0.], [-1., 0.], [1., 2.], [-1., 2.]]))
        tensor([1., 1.], dtype=torch.float64)
    """
    _check(features)
    total = features.new_zeros(features.shape[1], dtype=torch.float64)
    if centred:
        for chunk in features.split(CHUNK):
            total += chunk.double().sum(0)
    mean = total / len(features)
    if len(features) < len(mean):
        # The smaller matrix of inner products has the same eigenvalues but for zeros.
        rows = features.double() - mean
        values = torch.linalg.eigvalsh(rows @ rows.T / len(rows)).flip(0).clamp_min_(0)
        return F.pad(values, (0, len(mean) - len(rows)))
    moment = total.new_zeros(len(total), len(total))
    for chunk in features.split(CHUNK):
        moment.addmm_((centred_chunk := chunk.double() - mean).T, centred_chunk)
    return torch.linalg.eigvalsh(moment / len(features)).flip(0).clamp_min_(0)


@torch.no_grad()
def rankme(features: Tensor, eps: float = 1e-7) -> float:
    r"""RankMe: the effective rank of the feature matrix, between 1 and min(N, D).

    .. math::
        \exp\Bigl(-\sum_k p_k \log p_k\Bigr), \qquad
        p_k = \frac{\sigma_k}{\sum_j \sigma_j} + \epsilon

    with the singular values of the features, not centred, as published.

    Args:
        features: Shape (N, D), finite and not all zero.
        eps: Added to each p, as published.

    Raises:
        ValueError: If the shape is another, a feature is not finite, or all
            are zero.

    References:
        Garrido et al., RankMe: Assessing the Downstream Performance of
        Pretrained Self-Supervised Representations by Their Rank, ICML 2023.

    Example:
        >>> round(rankme(torch.eye(8)), 4)
        8.0
    """
    values = covariance_spectrum(features, centred=False).sqrt()[: min(features.shape)]
    if not values[0] > 0:
        raise UserError(
            'RankMe: all features are zero, the encoder has collapsed: take an earlier checkpoint, '
            'or leave the measure spectrum out'
        )
    return effective_rank(values, eps)


@torch.no_grad()
def effective_rank(singular_values: Tensor, eps: float = 1e-7) -> float:
    r"""Exponential of the entropy of singular values, as RankMe has it.

    .. math:: \exp\Bigl(-\sum_k p_k \log p_k\Bigr), \qquad
              p_k = \frac{\sigma_k}{\sum_j \sigma_j} + \epsilon

    Args:
        singular_values: Shape (min(N, D),), not all zero.
        eps: Added to each p, as published.

    Example:
        >>> round(effective_rank(torch.tensor([3., 1.])), 4)
        1.7548
    """
    p = singular_values / singular_values.sum() + eps
    return math.exp(-(p * p.log()).sum().item())


@torch.no_grad()
def alignment(first: Tensor, second: Tensor, alpha: float = 2.0) -> float:
    r"""Mean distance between the normalised features of two views of an image.

    .. math:: \frac{1}{N} \sum_i \| \hat x_i - \hat y_i \|_2^\alpha

    Args:
        first: Shape (N, D).
        second: Shape (N, D); row i is another view of image i.
        alpha: The power.

    Raises:
        ValueError: If the shapes differ or a feature is not finite.

    References:
        Wang and Isola, Understanding Contrastive Representation Learning
        through Alignment and Uniformity on the Hypersphere, ICML 2020.

    Example:
        >>> alignment(torch.tensor([[2., 0.]]), torch.tensor([[0., 1.]]))
        2.0
    """
    for features in (first, second):
        _check(features)
    if first.shape != second.shape:
        raise UserError(
            f'alignment: views of shapes {tuple(first.shape)} and {tuple(second.shape)}; row i of '
            'both must be one image'
        )
    x, y = F.normalize(first.double(), dim=1), F.normalize(second.double(), dim=1)
    return (x - y).square().sum(1).pow(alpha / 2).mean().item()


@torch.no_grad()
def uniformity(features: Tensor, t: float = 2.0, chunk: int = CHUNK) -> float:
    r"""How evenly the normalised features cover the sphere; lower is more even.

    .. math:: \log \frac{2}{N (N - 1)} \sum_{i < j} \exp(-t \| \hat x_i - \hat x_j \|_2^2)

    0 for one point, -2t for two opposite ones.

    Args:
        features: Shape (N, D), N at least 2.
        t: The scale.
        chunk: Rows per step; memory beyond the features is chunk^2 numbers.

    Raises:
        ValueError: If the shape is another or a feature is not finite.

    References:
        As :func:`alignment`.

    Example:
        >>> uniformity(torch.tensor([[1., 0.], [-3., 0.]]))
        -8.0
    """
    _check(features)
    if len(features) < 2:
        raise UserError('uniformity needs at least two samples')
    x = F.normalize(features.double(), dim=1)
    parts = []
    for i, rows in enumerate(x.split(chunk)):
        for j, columns in enumerate(x.split(chunk)[i:], i):
            # On the unit sphere the squared distance is 2 - 2 cos.
            exponent = -t * (2 - 2 * rows @ columns.T)
            if i == j:
                upper = torch.triu_indices(len(rows), len(rows), 1, device=x.device)
                exponent = exponent[upper[0], upper[1]]
            if exponent.numel():
                parts.append(exponent.flatten().logsumexp(0))
    pairs = len(x) * (len(x) - 1) / 2
    return (torch.stack(parts).logsumexp(0) - math.log(pairs)).item()


def _check(features: Tensor) -> None:
    if features.ndim != 2 or not features.numel():
        raise UserError(f'features must be of shape (N, D), got {tuple(features.shape)}')
    if not torch.isfinite(features).all():
        raise UserError('features are not finite: the model has diverged, or was not loaded')

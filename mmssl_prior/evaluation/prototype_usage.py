"""How a dataset uses the prototypes, beside the prior that was asked for."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import UserError
from ..functional import entropy, kl_divergence

__all__ = ['PrototypeUsage', 'prototype_usage']


class PrototypeUsage(NamedTuple):
    """Usage of K prototypes; the formulas stand in :func:`prototype_usage`."""

    p_bar: Tensor
    counts: Tensor
    effective_number: float
    num_used: int
    kl_to_prior: float


@torch.no_grad()
def prototype_usage(log_probs: Tensor, log_prior: Tensor) -> PrototypeUsage:
    r"""Mean and hard usage of prototypes over a dataset.

    .. math::
        \bar p_k &= \frac{1}{N} \sum_i p_{ik} \\
        c_k &= |\{i : \arg\max_j p_{ij} = k\}| \\
        \text{effective number} &= \exp H(\bar p) \in [1, K]

    A run that collapsed onto few prototypes shows in ``num_used``, the
    number of k with :math:`c_k > 0`, even where :math:`\bar p` is flat because
    every sample is undecided.

    Args:
        log_probs: Log-probabilities of N samples, shape (N, K).
        log_prior: Logarithm of the prior pi, shape (K,).

    Returns:
        ``p_bar`` (K,) in float64, ``counts`` (K,), ``effective_number``,
        ``num_used`` and ``kl_to_prior`` = KL(p_bar || pi).

    Raises:
        ValueError: If the shapes disagree or there are no samples.

    Example:
        >>> p = torch.tensor([[.9, .1, 0.], [.8, .1, .1]])
        >>> usage = prototype_usage(p.log(), torch.full((3,), 1 / 3).log())
        >>> usage.counts.tolist(), usage.num_used, round(usage.effective_number, 3)
        ([2, 0, 0], 1, 1.679)
    """
    if log_probs.ndim != 2 or not len(log_probs) or log_prior.shape != log_probs.shape[1:]:
        raise UserError(
            'log_probs and log_prior must have shapes (N, K) and (K,), N > 0, got '
            f'{tuple(log_probs.shape)} and {tuple(log_prior.shape)}'
        )
    log_p_bar = log_probs.double().logsumexp(0) - math.log(len(log_probs))
    # A prototype with no mass at all adds 0 to entropy and divergence; 0 * -inf would be NaN.
    finite = log_p_bar.clamp_min(torch.finfo(torch.float64).min)
    counts = torch.bincount(log_probs.argmax(1), minlength=len(log_prior))
    return PrototypeUsage(
        p_bar=log_p_bar.exp(),
        counts=counts,
        effective_number=entropy(finite).exp().item(),
        num_used=int((counts > 0).sum()),
        kl_to_prior=kl_divergence(finite, log_prior.to(finite)).item(),
    )

"""A prior on the sizes of clusters, whatever their index: an experiment of our own."""

import torch
from mmpretrain.registry import MODELS
from torch import Tensor

from ..errors import UserError
from ..models.heads import PMSNHead

__all__ = ['SortedPMSNHead', 'match_prior']


def match_prior(log_prior: Tensor, usage: Tensor) -> Tensor:
    r"""Permute a prior so that the r-th most used prototype has its r-th largest probability.

    .. math::
        \sigma^* = \arg\min_\sigma KL(p \| \pi_\sigma), \qquad (\pi_\sigma)_k = \pi_{\sigma(k)}

    for p the usage: :math:`\sum_k p_k \log \pi_{\sigma(k)}` is largest where
    both are in the same order (rearrangement inequality), and the other
    direction of the divergence is least there, too. Prototypes of equal usage
    keep the order that the prior itself gives them.

    Args:
        log_prior: Logarithm of the prior, shape (K,).
        usage: Shape (K,), in any unit.

    Returns:
        Shape (K,), the entries of ``log_prior``.

    Raises:
        ValueError: If the shapes differ or are not (K,).

    Example:
        >>> prior, usage = torch.tensor([.5, .3, .2]), torch.tensor([.1, .7, .2])
        >>> match_prior(prior.log(), usage).exp()
        tensor([0.2000, 0.5000, 0.3000])
    """
    if log_prior.ndim != 1 or usage.shape != log_prior.shape:
        raise UserError(
            f'log_prior and usage must have the same shape (K,), got {tuple(log_prior.shape)} and '
            f'{tuple(usage.shape)}'
        )
    by_prior = log_prior.argsort(descending=True, stable=True)
    by_usage = by_prior[usage[by_prior].argsort(descending=True, stable=True)]
    return log_prior.scatter(0, by_usage, log_prior[by_prior])


@MODELS.register_module()
class SortedPMSNHead(PMSNHead):
    r"""``PMSNHead`` whose prior goes to the prototypes in the order of their usage.

    The r-th most used prototype has rank r,

    .. math:: v \leftarrow \beta v + (1 - \beta) \bar p, \qquad
              \pi \to \pi_\sigma, \quad \sigma = \arg\min_\sigma KL(v \| \pi_\sigma)

    (:func:`match_prior`), in the loss and in the marginal. The running mean v,
    0 at first (no prototype is ahead, and ranks are those of ``PMSNHead``),
    moves after each loss in training mode, from the same :math:`\bar p` on all
    ranks, unless that is not finite. Steps that are accumulated count singly.
    It is the buffer ``usage`` and part of a checkpoint.

    Args:
        usage_momentum: beta of the running mean; 0 takes the last batch alone.
        **kwargs: Of :class:`PMSNHead`.

    Raises:
        ValueError: If usage_momentum is not in [0, 1).
    """

    usage: Tensor

    def __init__(self, usage_momentum: float = 0.9, **kwargs) -> None:
        super().__init__(**kwargs)
        if not 0 <= usage_momentum < 1:
            raise UserError(f'usage_momentum must be in [0, 1), got {usage_momentum}')
        self.usage_momentum = usage_momentum
        self.register_buffer('usage', torch.zeros(self.num_prototypes))

    @property
    def matched_log_prior(self) -> Tensor:
        """The prior in the order of usage."""
        return match_prior(super().matched_log_prior, self.usage)

    def _global_terms(self, anchors: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        loss_ce, log_mean = super()._global_terms(anchors, q)
        if self.training:
            self._track_usage(log_mean)
        return loss_ce, log_mean

    @torch.no_grad()
    def _track_usage(self, log_mean: Tensor) -> None:
        """Move the running mean of the global mean prediction; without waiting for a GPU."""
        p_bar = log_mean.exp().to(self.usage)
        moved = self.usage.lerp(p_bar, 1 - self.usage_momentum)
        # In place: who takes a step back holds the buffer.
        self.usage.copy_(torch.where(p_bar.isfinite().all(), moved, self.usage))

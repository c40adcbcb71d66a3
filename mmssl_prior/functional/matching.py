"""Which prototype has which probability of a prior."""

from torch import Tensor

from ..errors import UserError

__all__ = ['match_prior']


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

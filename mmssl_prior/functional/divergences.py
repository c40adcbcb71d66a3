"""Divergences between the mean prediction and a prior, in log space."""

from torch import Tensor

__all__ = ['entropy', 'kl_divergence', 'soft_cross_entropy']


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    r"""Kullback-Leibler divergence of two log-distributions.

    .. math:: KL(p \| q) = \sum_k p_k (\log p_k - \log q_k)

    Args:
        log_p: Shape (..., K).
        log_q: Shape (..., K).

    Returns:
        Shape (...), >= 0, and 0 if and only if p = q.

    Example:
        >>> p, q = torch.tensor([.5, .5]), torch.tensor([.25, .75])
        >>> round(float(kl_divergence(p.log(), q.log())), 4)
        0.1438
    """
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def entropy(log_p: Tensor) -> Tensor:
    """Entropy in nats of log-distributions of shape (..., K).

    Example:
        >>> round(float(entropy(torch.full((4,), .25).log())), 4)
        1.3863
    """
    return -(log_p.exp() * log_p).sum(-1)


def soft_cross_entropy(targets: Tensor, log_p: Tensor) -> Tensor:
    r"""Cross-entropy :math:`-\sum_k q_k \log p_k` of soft targets.

    Args:
        targets: Probabilities q of shape (..., K).
        log_p: Log-probabilities of shape (..., K), broadcast against targets.

    Returns:
        Shape (...), not averaged.

    Example:
        >>> q, p = torch.tensor([1., 0.]), torch.tensor([.25, .75])
        >>> round(float(soft_cross_entropy(q, p.log())), 4)
        1.3863
    """
    return -(targets * log_p).sum(-1)

"""Soft assignments of embeddings to prototypes, their sharpening and their balancing."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .distributed import distributed_logsumexp

__all__ = ['cosine_log_probs', 'sharpen', 'sinkhorn']


def cosine_log_probs(z: Tensor, prototypes: Tensor, temperature: float) -> Tensor:
    r"""Log-softmax over cosine similarities to prototypes.

    .. math:: \log p_k = \log \mathrm{softmax}_k (\cos(z, w_k) / \tau)

    Args:
        z: Embeddings of shape (..., D), not normalised.
        prototypes: Shape (K, D), not normalised.
        temperature: tau > 0.

    Returns:
        Shape (..., K).

    Example:
        >>> z, w = torch.tensor([[3., 0.]]), torch.tensor([[1., 0.], [0., 5.]])
        >>> cosine_log_probs(z, w, 1.).exp()
        tensor([[0.7311, 0.2689]])
    """
    logits = F.normalize(z, dim=-1) @ F.normalize(prototypes, dim=-1).T
    return F.log_softmax(logits / temperature, -1)


def sharpen(log_p: Tensor, temperature: float) -> Tensor:
    r"""Raise a log-distribution to the power 1/T and normalise: :math:`p^{1/T} / \sum p^{1/T}`.

    Example:
        >>> sharpen(torch.tensor([.25, .75]).log(), .5).exp()
        tensor([0.1000, 0.9000])
    """
    return F.log_softmax(log_p / temperature, -1)


@torch.no_grad()
def sinkhorn(log_q: Tensor, log_marginal: Tensor, iterations: int = 3) -> Tensor:
    r"""Balance soft assignments to a marginal over prototypes by Sinkhorn-Knopp in log space.

    Each iteration scales the prototypes so that their mass over the global
    batch is the marginal, then the samples so that each has mass one:

    .. math:: Q_{bk} \leftarrow Q_{bk} \frac{N \pi_k}{\sum_{b'} Q_{b'k}}, \qquad
              Q_{bk} \leftarrow \frac{Q_{bk}}{\sum_{k'} Q_{bk'}}

    The sum over b' runs over the samples of all ranks, whose numbers may
    differ. The last step makes every row a distribution; the marginal holds
    up to the convergence of the iteration. With a uniform marginal it is the
    iteration of MSN and SwAV (which end likewise); any other marginal is the
    extension that a prior needs, since a uniform one would undo it.

    Args:
        log_q: Log-assignments of this rank, shape (B, K). Rows need not be
            normalised; their masses weigh the samples in the first iteration,
            as with the scores of SwAV. Any finite input gives finite output.
        log_marginal: Logarithm of the marginal over prototypes, shape (K,).
        iterations: Number of iterations, at least 1; one collective of K
            values each.

    Returns:
        Log-assignments of shape (B, K) whose rows sum to one; no gradient.

    References:
        Cuturi, Sinkhorn Distances, NeurIPS 2013; Caron et al., SwAV, NeurIPS
        2020; Assran et al., MSN, ECCV 2022.

    Example:
        >>> q = torch.tensor([[.9, .1], [.8, .2]]).log()
        >>> sinkhorn(q, torch.tensor([.5, .5]).log(), 50).exp().sum(0).round(decimals=3).tolist()
        [1.0, 1.0]
    """
    # The floor keeps a prototype that underflowed in every sample at a finite, equal mass, instead
    # of -inf minus -inf; an eighth of the range leaves room for the updates, which subtract only.
    floor = torch.finfo(log_q.dtype).min / 8
    log_q = log_q.clamp(floor, -floor)
    for _ in range(iterations):
        log_q = log_q - distributed_logsumexp(log_q) + log_marginal
        log_q = F.log_softmax(log_q, -1).clamp_min(floor)
    return log_q

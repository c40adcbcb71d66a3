"""Soft assignments of embeddings to prototypes, their sharpening and their balancing."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .distributed import _logsumexp_rows, distributed_logsumexp

__all__ = ['cosine_log_probs', 'prototype_terms', 'sharpen', 'sinkhorn']

LARGEST = 2**24  # predictions that are held at a time: 64 MB of float32


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


def prototype_terms(
    z: Tensor, prototypes: Tensor, targets: Tensor, temperature: float, largest: int = LARGEST
) -> tuple[Tensor, Tensor]:
    r"""Cross-entropy with soft targets and summed predictions of several views.

    .. math::
        \ell_{vb} = -\sum_k q_{bk} \log p_{vbk}, \qquad
        s_k = \log \sum_{v, b} p_{vbk}, \qquad
        p_{vb} = \mathrm{softmax}(\cos(z_{vb}, w) / \tau)

    with the V x B x K predictions held at once only while they are few.
    Otherwise the views are taken in turn, and each one's predictions computed
    again in the backward pass: the memory of one view instead of V, for V + 1
    products with the prototypes instead of V.

    Args:
        z: Embeddings of shape (V, B, D), not normalised.
        prototypes: Shape (K, D), not normalised.
        targets: q of shape (B, K), without gradient.
        temperature: tau > 0.
        largest: Number of predictions that are held at once.

    Returns:
        Shapes (V, B) and (K,), local to this rank.

    Example:
        >>> z, w = torch.tensor([[[3., 0.]], [[0., 2.]]]), torch.eye(2)
        >>> prototype_terms(z, w, torch.tensor([[1., 0.]]), 1.)[0]
        tensor([[0.3133],
                [1.3133]])
    """
    views = max(1, largest // max(1, z.shape[1] * len(prototypes)))
    w = F.normalize(prototypes, dim=-1)
    if views >= len(z) or not torch.is_grad_enabled():
        parts = [_terms(chunk, w, targets, temperature) for chunk in z.split(views)]
    else:
        parts = [
            checkpoint(
                _terms,
                chunk,
                w,
                targets,
                temperature,
                use_reentrant=False,
                preserve_rng_state=False,
            )
            for chunk in z.split(views)
        ]
    cross_entropy, log_sums = zip(*parts)
    if len(parts) == 1:
        return cross_entropy[0], log_sums[0]
    return torch.cat(cross_entropy), torch.stack(log_sums).logsumexp(0)


def _terms(z: Tensor, w: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    log_p = F.log_softmax(F.normalize(z, dim=-1) @ w.T / temperature, -1)
    # A product over k, not a sum of products: nothing else of the size of log_p is made.
    cross_entropy = -torch.einsum('bk,vbk->vb', targets, log_p)
    return cross_entropy, _logsumexp_rows(log_p.flatten(0, 1))


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

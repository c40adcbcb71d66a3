"""Loss of predicting one view's assignment from the others."""

import torch
from torch import Tensor

__all__ = ['swapped_cross_entropy']


def swapped_cross_entropy(targets: Tensor, log_p: Tensor) -> Tensor:
    r"""Cross-entropy of every view's prediction with the assignments of other views.

    .. math:: \ell_b = -\frac{1}{A (V - 1)} \sum_{a=1}^{A} \sum_{v \ne a} \sum_k
              q_{abk} \log p_{vbk}

    The first A of the V views are those with assignments.

    Args:
        targets: Assignments q of shape (A, B, K), A <= V.
        log_p: Log-predictions of shape (V, B, K), V >= 2.

    Returns:
        Shape (B,), not averaged.

    Example:
        >>> q = torch.tensor([[[1., 0.]], [[0., 1.]]])
        >>> swapped_cross_entropy(q, torch.tensor([[[.5, .5]], [[.25, .75]]]).log())
        tensor([1.0397])
    """
    assigned, views = len(targets), len(log_p)
    crossed = -torch.einsum('abk,vbk->avb', targets, log_p)
    same = torch.eye(assigned, views, dtype=torch.bool, device=log_p.device)
    return crossed.masked_fill(same.unsqueeze(-1), 0).sum((0, 1)) / (assigned * (views - 1))

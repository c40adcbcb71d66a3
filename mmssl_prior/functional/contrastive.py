"""Contrastive loss over the global batch."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .distributed import gather_rows

__all__ = ['nt_xent']


def nt_xent(z: Tensor, temperature: float) -> Tensor:
    r"""Normalised temperature-scaled cross-entropy of pairs (NT-Xent, InfoNCE).

    .. math::
        \ell_{i} = -\log \frac{\exp(\cos(z_i, z_{i^+}) / \tau)}
                               {\sum_{j \ne i} \exp(\cos(z_i, z_j) / \tau)}

    where j runs over both views of all images on all ranks (global) but i
    itself, and :math:`i^+` is the other view of the image of i.

    Args:
        z: Embeddings of two views, shape (2, B, D), not normalised; B may
            differ between ranks.
        temperature: tau > 0.

    Returns:
        Loss of each of this rank's embeddings, shape (2, B).

    Example:
        >>> z = torch.tensor([[[1., 0.], [0., 1.]], [[1., 0.], [0., 1.]]])
        >>> nt_xent(z, 1.)[0, 0]  # log(e + 2) - 1
        tensor(0.5514)
    """
    views, batch, width = z.shape
    z = F.normalize(z, dim=-1)
    rows, start = gather_rows(z.transpose(0, 1))
    total = len(rows)
    logits = z.flatten(0, 1) @ rows.transpose(0, 1).reshape(views * total, width).T / temperature
    image = start + torch.arange(batch, device=z.device)
    own = torch.cat([image, image + total]).unsqueeze(1)
    other = torch.cat([image + total, image]).unsqueeze(1)
    positive = logits.gather(1, other).squeeze(1)
    logits = logits.scatter(1, own, -math.inf)
    return (logits.logsumexp(1) - positive).view(views, batch)

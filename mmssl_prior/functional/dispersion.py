"""How far embeddings are from one point."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .distributed import all_reduce_sum

__all__ = ['spherical_variance']


@torch.no_grad()
def spherical_variance(z: Tensor) -> Tensor:
    r"""One minus the length of the mean direction over all ranks (global).

    .. math:: 1 - \left\| \frac{1}{N} \sum_i \frac{z_i}{\|z_i\|} \right\|

    0 where all embeddings point the same way (collapse), near 1 where they
    are spread over the sphere; a collapse onto opposite points or a subspace
    is not seen.

    Args:
        z: Shape (..., D).

    Returns:
        Scalar without gradient, equal on all ranks.

    Example:
        >>> spherical_variance(torch.tensor([[1., 0.], [0., 5.]]))
        tensor(0.2929)
    """
    z = F.normalize(z, dim=-1).flatten(0, -2)
    sums = all_reduce_sum(torch.cat([z.sum(0), z.new_tensor([float(len(z))])]))
    return 1 - (sums[:-1] / sums[-1]).norm()

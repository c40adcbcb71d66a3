"""Regression targets made of a network's own layers."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UserError
from .distributed import all_reduce_sum

__all__ = ['batch_std', 'layer_targets']


def layer_targets(layers: Sequence[Tensor]) -> Tensor:
    r"""Normalised mean of normalised layers, the target of data2vec.

    .. math:: y = \mathrm{LN} \Big( \frac{1}{K} \sum_{l=1}^{K} \mathrm{LN}(a_l) \Big)

    with LN over the last dimension, without scale and shift, and epsilon
    1e-5. Computed in float32 or better. The inner LN gives every layer an
    equal say, the outer one every token the same scale.

    Args:
        layers: K outputs of blocks, each of shape (..., C).

    Returns:
        Shape (..., C).

    Raises:
        ValueError: If there is no layer.

    References:
        Baevski et al., data2vec, ICML 2022.

    Example:
        >>> y = layer_targets([torch.tensor([0.0, 2.0, 4.0]), torch.tensor([0.0, 4.0, 2.0])])
        >>> [round(v, 4) for v in y.tolist()]
        [-1.4142, 0.7071, 0.7071]
    """
    if not layers:
        raise UserError('layer_targets needs at least one layer')
    width = layers[0].shape[-1:]
    normalised = [
        F.layer_norm(a.to(torch.promote_types(a.dtype, torch.float32)), width) for a in layers
    ]
    return F.layer_norm(torch.stack(normalised).mean(0), width)


@torch.no_grad()
def batch_std(x: Tensor) -> Tensor:
    r"""Mean over channels of the standard deviation over rows of all ranks (global).

    .. math:: \frac{1}{C} \sum_c \sqrt{\frac{1}{N} \sum_i (x_{ic} - \bar x_c)^2}

    It falls to 0 when all rows become alike, as in a collapse. No gradient.

    Args:
        x: Shape (N, C); N may differ between ranks.

    Example:
        >>> float(batch_std(torch.tensor([[0., 1.], [4., 1.]])))
        1.0
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    sums = all_reduce_sum(torch.cat([x.sum(0), x.new_tensor([float(len(x))])]))
    mean, count = sums[:-1] / sums[-1], sums[-1]
    return (all_reduce_sum((x - mean).square().sum(0)) / count).sqrt().mean()

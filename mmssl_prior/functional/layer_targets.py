"""Regression targets made of a network's own layers."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UserError
from .distributed import all_reduce_sum

__all__ = ['TARGET_NORMS', 'batch_std', 'layer_targets']

TARGET_NORMS = ('layer', 'instance')


def layer_targets(layers: Sequence[Tensor], norm: str = 'layer') -> Tensor:
    r"""Mean of normalised layers, the target of data2vec.

    .. math::
        \text{layer: } y = \mathrm{LN} \Big( \frac{1}{K} \sum_{l=1}^{K} \mathrm{LN}(a_l) \Big),
        \qquad
        \text{instance: } y = \frac{1}{K} \sum_{l=1}^{K} \mathrm{IN}(a_l)

    with LN over the channels of a token and IN over the positions of a
    channel in one sample, both without scale and shift and with epsilon 1e-5.
    Computed in float32 or better. The inner norm gives every layer an equal
    say, the outer LN every token the same scale. The paper takes LN for images
    and IN for speech, where neighbours are much alike.

    Args:
        layers: K outputs of blocks, each of shape (..., N, C); for ``'layer'``
            also (C,).
        norm: ``'layer'`` or ``'instance'``.

    Returns:
        Shape of a layer.

    Raises:
        ValueError: If there is no layer, the norm is unknown, or it is
            ``'instance'`` and there are less than two positions.

    References:
        Baevski et al., data2vec, ICML 2022.

    Example:
        >>> y = layer_targets([torch.tensor([0.0, 2.0, 4.0]), torch.tensor([0.0, 4.0, 2.0])])
        >>> [round(v, 4) for v in y.tolist()]
        [-1.4142, 0.7071, 0.7071]
        >>> layer_targets([torch.tensor([[0.0], [2.0], [4.0]])], 'instance').T
        tensor([[-1.2247,  0.0000,  1.2247]])
    """
    if not layers:
        raise UserError('layer_targets needs at least one layer')
    if norm not in TARGET_NORMS:
        raise UserError(f'norm must be one of {list(TARGET_NORMS)}, got {norm!r}')
    raised = [a.to(torch.promote_types(a.dtype, torch.float32)) for a in layers]
    if norm == 'layer':
        return _layer_norm(torch.stack([_layer_norm(a) for a in raised]).mean(0))
    if raised[0].ndim < 2 or raised[0].shape[-2] < 2:
        raise UserError(
            f"norm='instance' needs at least two positions, got layers of shape "
            f'{tuple(raised[0].shape)}'
        )
    # Instance normalisation is layer normalisation over the other dimension.
    return torch.stack([_layer_norm(a.mT) for a in raised]).mean(0).mT


def _layer_norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])


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

import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...errors import UserError
from ...functional import global_mean

__all__ = ['MaskedRegressionLoss']


@MODELS.register_module()
class MaskedRegressionLoss(nn.Module):
    r"""Mean error of predicted tokens, over the masked ones of all ranks.

    .. math:: L = \frac{1}{|M|\, C} \sum_{i \in M} \sum_c \ell(\hat y_{ic} - y_{ic}),
        \qquad
        \ell_{mse}(d) = d^2, \qquad
        \ell_\beta(d) = \begin{cases} d^2 / 2\beta & |d| < \beta \\
                                      |d| - \beta / 2 & \text{otherwise} \end{cases}

    with M the masked tokens of the whole batch on all ranks (global), whose
    numbers may differ. ``'mse'`` is MAE's, ``'smooth_l1'`` with beta 2
    data2vec's. For equally many masked tokens on each rank the gradient under
    DistributedDataParallel is that of a local mean, as in the releases.
    Computed in float32 or better.

    Args:
        criterion: ``'mse'`` or ``'smooth_l1'``.
        beta: Where smooth-L1 changes from square to absolute value, > 0.

    Raises:
        ValueError: For another criterion, a beta that is not positive, or
            shapes that disagree.

    References:
        He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR
        2022; Baevski et al., data2vec, ICML 2022.

    Example:
        >>> loss = MaskedRegressionLoss('smooth_l1', beta=2.0)
        >>> float(loss(torch.tensor([[1., 5.]]), torch.zeros(1, 2)))
        2.125
    """

    def __init__(self, criterion: str = 'mse', beta: float = 2.0) -> None:
        super().__init__()
        if criterion not in ('mse', 'smooth_l1'):
            raise UserError(f"criterion must be 'mse' or 'smooth_l1', got {criterion!r}")
        if not beta > 0:
            raise UserError(f"beta must be positive, got {beta} (criterion='mse' has none)")
        self.criterion = criterion
        self.beta = beta

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """The loss, a scalar equal on all ranks.

        Args:
            pred: Predictions, shape (..., C).
            target: Shape of ``pred``.
            mask: Shape (...), not 0 where a token counts; None counts all.
        """
        if pred.shape != target.shape or (mask is not None and mask.shape != pred.shape[:-1]):
            shapes = [tuple(x.shape) for x in (pred, target, mask) if x is not None]
            raise UserError(f'shapes of prediction, target and mask disagree: {shapes}')
        dtype = torch.promote_types(pred.dtype, torch.float32)
        pred, target = pred.to(dtype), target.to(dtype)
        if self.criterion == 'mse':
            error = F.mse_loss(pred, target, reduction='none')
        else:
            error = F.smooth_l1_loss(pred, target, reduction='none', beta=self.beta)
        error = error.mean(-1)
        return global_mean(error if mask is None else error[mask.bool()])

    def extra_repr(self) -> str:
        beta = f', beta={self.beta}' if self.criterion == 'smooth_l1' else ''
        return f'criterion={self.criterion!r}{beta}'

from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...errors import UserError
from ...functional import gather_rows, global_mean, off_diagonal_covariance, variance_hinge

__all__ = ['VICRegLoss']


@MODELS.register_module()
class VICRegLoss(nn.Module):
    r"""Variance-Invariance-Covariance Regularisation, as released.

    .. math::
        L = \lambda \frac{1}{ND} \sum_{n,d} (x_{nd} - y_{nd})^2
          + \mu \left( \tfrac12 v(X) + \tfrac12 v(Y) \right)
          + \nu \left( c(X) + c(Y) \right)

    .. math::
        v(Z) = \frac1D \sum_d \max(0, 1 - \sqrt{\mathrm{Var}(z_d) + \epsilon}), \qquad
        c(Z) = \frac1D \sum_{i \ne j} C_{ij}^2, \qquad C = \mathrm{Cov}(Z)

    over the N images on all ranks (global), with unbiased variances and
    covariances of the gathered batch and their true gradient.

    Forks: the paper's equation has no halves before v, the released code has
    them, and so has this class; the paper's equation is
    ``variance_weight=50``. The invariance term is the mean over dimensions,
    as released, where the paper's formula sums them.

    The variance and covariance terms spread the embeddings over the whole
    space. There are no prototypes, hence no distribution over them and no
    prior to set.

    Args:
        invariance_weight: lambda.
        variance_weight: mu.
        covariance_weight: nu.
        eps: epsilon in v.

    Raises:
        ValueError: If a weight is negative, eps not positive, or the global
            batch a single image.

    References:
        Bardes, Ponce, LeCun, VICReg, ICLR 2022.

    Example:
        >>> x = torch.tensor([[1., 1.], [-1., -1.]])
        >>> losses = VICRegLoss()(torch.stack([x, x + 1]))
        >>> {name: round(float(value), 4) for name, value in losses.items()}
        {'loss_invariance': 25.0, 'loss_variance': 0.0, 'loss_covariance': 8.0}
    """

    def __init__(
        self,
        invariance_weight: float = 25.0,
        variance_weight: float = 25.0,
        covariance_weight: float = 1.0,
        eps: float = 1e-4,
    ) -> None:
        super().__init__()
        for name, value in dict(
            invariance_weight=invariance_weight,
            variance_weight=variance_weight,
            covariance_weight=covariance_weight,
        ).items():
            if not value >= 0:
                raise UserError(f'{name} must be >= 0, got {value}')
        if not eps > 0:
            raise UserError(f'eps must be positive, got {eps}')
        self.invariance_weight = invariance_weight
        self.variance_weight = variance_weight
        self.covariance_weight = covariance_weight
        self.eps = eps

    def forward(self, z: Tensor) -> dict[str, Tensor]:
        """Weighted terms, equal on all ranks, to be summed.

        Args:
            z: Embeddings of two views of this rank's images, shape (2, B, D).
        """
        rows, _ = gather_rows(z.transpose(0, 1))
        if len(rows) < 2:
            raise UserError(
                'VICReg needs at least two images in the global batch for a variance, got '
                f'{len(rows)}: raise train_dataloader.batch_size'
            )
        x, y = rows.unbind(1)
        variance = variance_hinge(x, eps=self.eps) + variance_hinge(y, eps=self.eps)
        covariance = off_diagonal_covariance(x) + off_diagonal_covariance(y)
        return dict(
            loss_invariance=self.invariance_weight * global_mean((z[0] - z[1]).square()),
            loss_variance=self.variance_weight / 2 * variance,
            loss_covariance=self.covariance_weight * covariance,
        )

    def extra_repr(self) -> str:
        return (
            f'invariance_weight={self.invariance_weight}, '
            f'variance_weight={self.variance_weight}, '
            f'covariance_weight={self.covariance_weight}'
        )

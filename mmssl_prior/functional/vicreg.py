"""Variance and covariance terms of VICReg on the rows of the global batch."""

import torch
from torch import Tensor

__all__ = ['off_diagonal_covariance', 'variance_hinge']


def variance_hinge(z: Tensor, target: float = 1.0, eps: float = 1e-4) -> Tensor:
    r"""How far the standard deviation of each dimension stays below its target.

    .. math:: v(Z) = \frac{1}{D} \sum_{d=1}^D
              \max\left(0, \gamma - \sqrt{\mathrm{Var}(z_d) + \epsilon}\right)

    with the unbiased variance over the rows.

    Args:
        z: Shape (N, D), N >= 2.
        target: gamma.
        eps: Keeps the gradient of the root finite at variance 0.

    Returns:
        Scalar >= 0.

    Example:
        >>> variance_hinge(torch.tensor([[0., -2.], [0., 2.]]), eps=0.04)  # (1 - 0.2 + 0) / 2
        tensor(0.4000)
    """
    return (target - (z.var(0) + eps).sqrt()).relu().mean()


def off_diagonal_covariance(z: Tensor) -> Tensor:
    r"""Sum of squared covariances between different dimensions, by dimension.

    .. math:: c(Z) = \frac{1}{D} \sum_{i \ne j} C_{ij}^2, \qquad
              C = \frac{1}{N - 1} \sum_n (z_n - \bar z)(z_n - \bar z)^T

    For N < D it is computed from the N x N Gram matrix, whose Frobenius norm
    is that of C, so that a wide embedding never forms a D x D matrix.

    Args:
        z: Shape (N, D), N >= 2.

    Returns:
        Scalar >= 0.

    Example:
        >>> off_diagonal_covariance(torch.tensor([[1., 1.], [-1., -1.]]))  # C is 2 everywhere
        tensor(4.)
    """
    rows, width = z.shape
    z = (z - z.mean(0)) * (rows - 1) ** -0.5
    if rows < width:
        return ((z @ z.T).square().sum() - z.square().sum(0).square().sum()) / width
    covariance = z.T @ z
    return (
        covariance.masked_fill(torch.eye(width, device=z.device).bool(), 0).square().sum() / width
    )

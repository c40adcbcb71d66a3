from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...errors import UserError
from ...functional import distributed_log_mean_exp, kl_divergence

__all__ = ['PriorMatchingLoss']


@MODELS.register_module()
class PriorMatchingLoss(nn.Module):
    r"""Divergence between the mean prediction and a prior over prototypes.

    .. math:: \bar p = \frac{1}{N} \sum_{i=1}^N p_i, \qquad
              L = \lambda \, KL(\bar p \| \pi)
                = \lambda \sum_k \bar p_k (\log \bar p_k - \log \pi_k)

    with p_i the N predictions of all anchor views on all ranks (global). For
    a uniform prior :math:`KL(\bar p \| u) = \log K - H(\bar p)`, the
    mean-entropy term of MSN, exactly. ``direction='reverse'`` computes
    :math:`KL(\pi \| \bar p)` instead, which does not reduce to MSN and whose
    gradient grows without bound at a prototype that is hardly used; other
    implementations use it unawares, here it is an option.

    Everything is computed in log space, so prototypes with hardly any mass
    keep their gradient.

    Args:
        loss_weight: lambda >= 0.
        direction: ``'forward'`` for KL(p_bar || prior), ``'reverse'`` for
            KL(prior || p_bar).

    Raises:
        ValueError: For another direction or a negative weight.

    References:
        Assran et al., The Hidden Uniform Cluster Prior in Self-Supervised
        Learning, ICLR 2023; Masked Siamese Networks, ECCV 2022 (lambda 1).

    Example:
        >>> log_p = torch.tensor([[.9, .1], [.1, .9]]).log()
        >>> loss, log_mean = PriorMatchingLoss()(log_p, torch.tensor([.25, .75]).log())
        >>> round(float(loss), 4), log_mean.exp().tolist()
        (0.1438, [0.5, 0.5])
    """

    def __init__(self, loss_weight: float = 1.0, direction: str = 'forward') -> None:
        super().__init__()
        if direction not in ('forward', 'reverse'):
            raise UserError(f"direction must be 'forward' or 'reverse', got {direction!r}")
        if not loss_weight >= 0:
            raise UserError(f'loss_weight must be >= 0, got {loss_weight}')
        self.loss_weight = loss_weight
        self.direction = direction

    def forward(self, log_p: Tensor, log_prior: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted loss and the mean prediction.

        Args:
            log_p: Log-predictions of this rank's anchor views, shape (N, K).
            log_prior: Shape (K,).

        Returns:
            The loss (scalar, equal on all ranks) and log p_bar of shape (K,).
        """
        if log_p.shape[-1:] != log_prior.shape:
            raise UserError(
                f'predictions over {log_p.shape[-1]} prototypes, prior over {log_prior.shape[-1]}'
            )
        log_mean = distributed_log_mean_exp(log_p)
        return self.divergence(log_mean, log_prior), log_mean

    def divergence(self, log_mean: Tensor, log_prior: Tensor) -> Tensor:
        """Weighted loss of the global mean prediction log p_bar; both of shape (K,)."""
        pair = (log_mean, log_prior) if self.direction == 'forward' else (log_prior, log_mean)
        return self.loss_weight * kl_divergence(*pair)

    def extra_repr(self) -> str:
        return f'loss_weight={self.loss_weight}, direction={self.direction!r}'

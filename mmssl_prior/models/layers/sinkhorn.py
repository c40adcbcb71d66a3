import math

import torch
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...errors import UserError
from ...functional import sinkhorn

__all__ = ['Sinkhorn']


@MODELS.register_module()
class Sinkhorn(nn.Module):
    """Balancing of target assignments to a marginal over prototypes.

    Balancing to a *uniform* marginal forces equal cluster sizes on the targets
    whatever the prior says: it undoes the prior. The marginal is therefore a
    choice that a config names.

    Args:
        marginal: ``'prior'`` balances to the head's prior, ``'uniform'`` to
            equal sizes (as MSN was released), ``'off'`` does nothing.
        iterations: Number of Sinkhorn iterations, 3 as in the MSN release.

    Raises:
        ValueError: For another marginal or iterations < 1.

    Example:
        >>> log_q, log_prior = torch.tensor([[.9, .1]] * 2).log(), torch.tensor([.75, .25]).log()
        >>> Sinkhorn('prior')(log_q, log_prior).exp()
        tensor([[0.7500, 0.2500],
                [0.7500, 0.2500]])
    """

    def __init__(self, marginal: str = 'prior', iterations: int = 3) -> None:
        super().__init__()
        if marginal not in ('prior', 'uniform', 'off'):
            raise UserError(f"marginal must be 'prior', 'uniform' or 'off', got {marginal!r}")
        if iterations < 1:
            raise UserError(
                f"iterations must be at least 1, got {iterations} (marginal='off' "
                'switches Sinkhorn off)'
            )
        self.marginal = marginal
        self.iterations = iterations

    def forward(self, log_q: Tensor, log_prior: Tensor) -> Tensor:
        """Balanced log-assignments of this rank, shape (B, K); sums run over all ranks."""
        if self.marginal == 'off':
            return log_q
        if self.marginal == 'uniform':
            log_prior = torch.full_like(log_prior, -math.log(len(log_prior)))
        return sinkhorn(log_q, log_prior, self.iterations)

    def extra_repr(self) -> str:
        return f'marginal={self.marginal!r}, iterations={self.iterations}'

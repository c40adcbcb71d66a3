import torch
from mmengine.model import BaseModel
from torch import Tensor

from ...errors import UserError

__all__ = ['FiniteLoss']


class FiniteLoss(BaseModel):
    """Mixin that stops a training before a loss that is not finite is used.

    Name it before the other base class.

    Raises:
        UserError: With the terms of the loss, and the iteration where the
            model knows it (:class:`TargetNetworks`); the weights are as they
            were.
    """

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum the losses as MMEngine does, and check the sum."""
        total, log_vars = super().parse_losses(losses)
        if not torch.isfinite(total):
            step = getattr(self, '_step', None)
            where = '' if step is None else f' at iteration {step[1]}'
            terms = ', '.join(f'{k}={float(v.detach().mean()):g}' for k, v in losses.items())
            raise UserError(
                f'the loss is not finite{where} ({terms}); the weights were left as they were and '
                'the last checkpoint is good: lower the learning rate, lengthen its warm-up or '
                'train in full precision'
            )
        return total, log_vars

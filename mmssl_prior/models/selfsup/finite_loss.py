from collections.abc import Mapping

import torch
from mmengine.model import BaseModel
from torch import Tensor

from ...errors import UserError

__all__ = ['FiniteLoss', 'loss_not_finite']


def loss_not_finite(terms: Mapping[str, float], where: str = '') -> UserError:
    """The error of a loss that is not finite; ``where`` may name the iteration."""
    named = ', '.join(f'{name}={value:g}' for name, value in terms.items())
    return UserError(
        f'the loss is not finite{where} ({named}); the weights were left as they were and '
        'the last checkpoint is good: lower the learning rate, lengthen its warm-up or '
        'train in full precision'
    )


class FiniteLoss(BaseModel):
    """Mixin that stops a training before a loss that is not finite is used.

    Name it before the other base class. The check waits for the device;
    :class:`DeferredRuntimeInfoHook` sets :attr:`check_deferred` and has the
    optimizer wrapper check instead, which withholds the update.

    Raises:
        UserError: With the terms of the loss, and the iteration where the
            model knows it (:class:`TargetNetworks`); the weights are as they
            were.
    """

    #: Whether somebody else checks.
    check_deferred = False

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum the losses as MMEngine does, and check the sum."""
        total, log_vars = super().parse_losses(losses)
        if not self.check_deferred and not torch.isfinite(total):
            step = getattr(self, '_step', None)
            where = '' if step is None else f' at iteration {step[1]}'
            terms = {name: float(value.detach().mean()) for name, value in losses.items()}
            raise loss_not_finite(terms, where)
        return total, log_vars

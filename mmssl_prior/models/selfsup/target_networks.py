import copy

import torch
from mmengine.model import BaseModel
from torch import Tensor

from ...errors import UserError
from ...functional import local_shard

__all__ = ['TargetNetworks']


class TargetNetworks(BaseModel):
    r"""Mixin for target networks, moving averages of trained ones; what their hook asks for.

    .. math:: \theta^{target} \leftarrow m \theta^{target} + (1 - m) \theta

    The average is over parameters only. ``TargetNetworkHook`` starts the
    target, names each training step and calls for the update after it. Name
    the mixin before the other base class, and the averaged modules at the end
    of the constructor with :meth:`_add_targets`.
    """

    #: Config of the hook, for the error of a model that does not know its step.
    target_hook = "dict(type='TargetNetworkHook')"
    _step: tuple[int, int] | None = None
    _averaged: tuple[str, ...] = ()

    def _add_targets(self, *names: str) -> None:
        """Give each named module a copy under ``target_`` and its name, without gradients."""
        self._averaged = names
        for name in names:
            target = copy.deepcopy(getattr(self, name)).requires_grad_(False)
            setattr(self, f'target_{name}', target)

    def init_weights(self) -> None:
        super().init_weights()
        self.sync_target()

    @torch.no_grad()
    def sync_target(self) -> None:
        """Make the target networks copies of the trained ones, buffers included."""
        for name in self._averaged:
            getattr(self, f'target_{name}').load_state_dict(getattr(self, name).state_dict())

    @torch.no_grad()
    def update_target(self, momentum: float, withheld: Tensor | None = None) -> None:
        """Move the targets' parameters by the moving average, in one call for all.

        Args:
            momentum: m.
            withheld: A scalar on the parameters' device; where it is 1 the
                targets stay, without the host having to know.
        """
        # Of sharded networks each rank averages its own part: they are divided alike.
        targets, trained = (
            [local_shard(p.detach()) for n in names for p in getattr(self, n).parameters()]
            for names in ([f'target_{n}' for n in self._averaged], self._averaged)
        )
        if withheld is None:
            torch._foreach_lerp_(targets, trained, 1 - momentum)
            return
        weight = (1 - momentum) * (1 - withheld.to(targets[0]))
        torch._foreach_lerp_(targets, trained, [weight] * len(targets))

    def set_step(self, seed: int, iteration: int) -> None:
        """Name the training step: what is random in it is a function of (seed, iteration)."""
        self._step = (seed, iteration)

    def _known_step(self) -> tuple[int, int]:
        if self._step is None:
            raise UserError(
                f'{type(self).__name__} does not know its training step: add {self.target_hook} to '
                'custom_hooks (in a loop of your own call model.set_step(seed, iteration) before '
                'and model.update_target(momentum) after each step)'
            )
        return self._step

"""Agreement of ranks on what to do next, without waiting for a device."""

from typing import Any

import torch
from torch import Tensor, distributed

__all__ = ['DelayedMaximum']


class DelayedMaximum:
    r"""Maximum over ranks of a small number, one step late.

    Call t starts the reduction of its number x_t and returns that of the call
    before:

    .. math:: y_t = \max_{rank} x_{t-1}, \qquad y_0 = 0

    All ranks get the same y at the same call, so that they can act on it
    together, and the reduction has a whole step to finish. It goes over gloo
    between the hosts: no rank waits for its GPU. One process gets y_t = x_t.

    Every rank must make it, call it equally often, and :meth:`close` it.

    Example:
        >>> agree = DelayedMaximum()
        >>> agree(0), agree(2)
        (0, 2)
    """

    def __init__(self) -> None:
        alone = not distributed.is_available() or not distributed.is_initialized()
        alone = alone or distributed.get_world_size() == 1
        self._group: Any = None if alone else distributed.new_group(backend='gloo')
        self._pending: tuple[Any, Tensor] | None = None

    def __call__(self, value: int) -> int:
        if self._group is None:
            return value
        before = self._finish()
        number = torch.tensor(value)
        work = distributed.all_reduce(
            number, distributed.ReduceOp.MAX, group=self._group, async_op=True
        )
        self._pending = (work, number)
        return before

    def _finish(self) -> int:
        if self._pending is None:
            return 0
        work, number = self._pending
        self._pending = None
        work.wait()
        return int(number)

    def close(self) -> None:
        """Finish the last reduction and leave the group."""
        self._finish()
        if self._group is not None and distributed.is_initialized():
            distributed.destroy_process_group(self._group)
        self._group = None

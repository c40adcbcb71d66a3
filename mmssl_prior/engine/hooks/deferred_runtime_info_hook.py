import math
from typing import NamedTuple

import torch
from mmengine.hooks import CheckpointHook, LoggerHook, RuntimeInfoHook
from mmengine.model import is_model_wrapper
from mmpretrain.registry import HOOKS
from torch import Tensor

from ...errors import UserError
from ...models.selfsup.finite_loss import loss_not_finite
from ..optimizers.group_clip_optim_wrapper import gradient_not_finite

__all__ = ['DeferredRuntimeInfoHook']


SKIPPED = 'skipped_steps'


class _Row(NamedTuple):
    """Scalars of one iteration on the device, at the end the number of the step if withheld."""

    iteration: int
    names: tuple[str, ...]
    values: Tensor


@HOOKS.register_module()
class DeferredRuntimeInfoHook(RuntimeInfoHook):
    """MMEngine's RuntimeInfoHook without a wait for the GPU in every iteration.

    The stock hook reads each term of the loss in each iteration, for which
    the host waits until the device has finished; checks of losses and
    gradients (:class:`FiniteLoss`, :class:`GroupClipOptimWrapper`) wait
    likewise. Here the values of an iteration stay on the device. They are
    moved together, in one transfer, after the first iteration, when a
    ``LoggerHook`` is about to write, at the end of an epoch, and before
    validation and checkpoints. All values of all iterations reach the message
    hub, in their order, so that logs and their smoothing are what they were;
    in between the hub lags behind.

    While a loss or gradient that is not finite has not been noticed, updates
    are withheld on the device: weights, target networks, optimizer state are
    those before it. (Running statistics of batch normalisation and queues go
    on.) With ``skip_nonfinite`` of :class:`GroupClipOptimWrapper` single steps
    are skipped instead: each is warned of, its values that are not finite stay
    out of the log, and their number, ``skipped_steps`` there, is part of the
    checkpoints. Where the optimizer wrapper cannot withhold them, as MMEngine's own,
    checks are read in each iteration as without this hook.

    Raises:
        UserError: When values are moved: the first iteration whose loss or
            gradient was not finite, with its terms; with ``skip_nonfinite``
            the first behind as many.
    """

    def __init__(self) -> None:
        self._rows: list[_Row] = []
        self._first = True

    def before_train(self, runner) -> None:
        super().before_train(runner)
        self._rows, self._first = [], True
        self._defer(runner, True)

    def _defer(self, runner, deferred: bool) -> None:
        defer = getattr(runner.optim_wrapper, 'defer', None)
        skipped = runner.message_hub.runtime_info.get(SKIPPED, 0)
        withholds = defer(deferred, skipped) if defer is not None else False
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if hasattr(model, 'check_deferred'):
            model.check_deferred = withholds

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        wrapper, values = runner.optim_wrapper, {}
        waiting = getattr(wrapper, 'scalars', {})
        for name, value in {**waiting, **(outputs or {})}.items():
            if isinstance(value, Tensor):
                values[name] = value.detach().reshape(())
            else:
                runner.message_hub.update_scalar(f'train/{name}', value)
        waiting.clear()
        flag = getattr(wrapper, 'withheld_step', None)
        if values:
            row = list(values.values())
            row.append(row[0].new_zeros(()) if flag is None else flag)
            self._rows.append(_Row(runner.iter, tuple(values), torch.stack(row)))
        if self._first or self._due(runner, batch_idx):
            self._move(runner)
            self._first = False

    def _due(self, runner, batch_idx: int) -> bool:
        if self.end_of_epoch(runner.train_dataloader, batch_idx) or self.is_last_train_iter(runner):
            return True
        for hook in runner.hooks:
            if isinstance(hook, LoggerHook) and self.every_n_inner_iters(batch_idx, hook.interval):
                return True
            # On all ranks, where `before_save_checkpoint` is called on one.
            if isinstance(hook, CheckpointHook) and not hook.by_epoch:
                if self.every_n_train_iters(runner, hook.interval):
                    return True
        return False

    def _move(self, runner) -> None:
        """Hand the waiting values to the message hub, and check them."""
        rows, self._rows = self._rows, []
        if not rows:
            return
        # The one transfer.
        values = torch.cat([row.values for row in rows]).tolist()
        for row in rows:
            size = len(row.names) + 1
            *scalars, withheld = values[:size]
            del values[:size]
            named = dict(zip(row.names, scalars))
            if withheld:
                named = self._skip(runner, row.iteration, int(withheld), named)
            for name, value in named.items():
                runner.message_hub.update_scalar(f'train/{name}', value)

    def _skip(self, runner, iteration: int, number: int, values: dict) -> dict[str, float]:
        """Count a step that was withheld; what is finite of its values."""
        limit = getattr(runner.optim_wrapper, 'skip_nonfinite', 0)
        error, hub = _not_finite(iteration, values), runner.message_hub
        if number > limit:
            if not limit:
                raise error
            raise UserError(
                f'{error} ({limit} steps were skipped before, as many as '
                'optim_wrapper.skip_nonfinite allows)'
            )
        # Iterations whose gradients are accumulated are one step.
        if number > hub.runtime_info.get(SKIPPED, 0):
            hub.update_info(SKIPPED, number)
            cause = str(error).partition(';')[0]
            runner.logger.warning(f'{cause}: step skipped, {number} of at most {limit}')
        hub.update_scalar(f'train/{SKIPPED}', number)
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def before_save_checkpoint(self, runner, checkpoint) -> None:
        """Complete the history in a checkpoint; one behind an update that was withheld is none."""
        if self._rows:
            self._move(runner)
            checkpoint['message_hub'] = runner.message_hub.state_dict()

    def before_val(self, runner) -> None:
        self._move(runner)
        super().before_val(runner)

    def after_train_epoch(self, runner) -> None:
        self._move(runner)

    def after_train(self, runner) -> None:
        self._move(runner)
        self._defer(runner, False)
        super().after_train(runner)


def _not_finite(iteration: int, values: dict[str, float]) -> Exception:
    where = f' at iteration {iteration}'
    if math.isfinite(values.get('loss', 0.0)):
        norm = values.get('grad_norm')
        return gradient_not_finite(norm, where)
    terms = {name: value for name, value in values.items() if name not in ('loss', 'grad_norm')}
    return loss_not_finite(terms, where)

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmpretrain.registry import HOOKS

from ...errors import UserError

__all__ = ['SwAVScheduleHook']


@HOOKS.register_module()
class SwAVScheduleHook(Hook):
    """Frozen prototypes at the start of SwAV, and the epoch from which it queues.

    In the first iterations the prototypes keep the directions they started
    with: just before the optimizer step their gradient is taken away, so that
    weight decay and momentum leave them alone too. Both schedules are
    functions of iteration and epoch, so a resume needs no history.

    Args:
        frozen_iters: Iterations without an update of the prototypes.
        queue_start_epoch: First epoch, counted from 0, in which embeddings
            are queued; 15 in the release. Without a queue it says nothing.

    Raises:
        ValueError: If a number is negative.
        UserError: If the model is not :class:`PriorSwAV`.

    References:
        Caron et al., SwAV, NeurIPS 2020: 313 iterations, an epoch of batch 4096.
    """

    def __init__(self, frozen_iters: int = 313, queue_start_epoch: int = 15) -> None:
        for name, value in dict(
            frozen_iters=frozen_iters, queue_start_epoch=queue_start_epoch
        ).items():
            if not value >= 0:
                raise UserError(f'{name} must be >= 0, got {value}')
        self.frozen_iters = frozen_iters
        self.queue_start_epoch = queue_start_epoch
        self._handle: Any = None

    @staticmethod
    def _model(runner):
        return runner.model.module if is_model_wrapper(runner.model) else runner.model

    def before_train(self, runner) -> None:
        model = self._model(runner)
        if not hasattr(model, 'start_queue'):
            raise UserError(
                f'SwAVScheduleHook needs PriorSwAV, {type(model).__name__} has no queue: remove '
                'the hook'
            )

        def freeze(*_) -> None:
            if runner.iter < self.frozen_iters:
                model.head.prototypes.grad = None

        self._handle = runner.optim_wrapper.optimizer.register_step_pre_hook(freeze)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self._model(runner).start_queue(runner.epoch >= self.queue_start_epoch)

    def after_train(self, runner) -> None:
        self._handle.remove()

import math
from collections.abc import Sequence
from typing import Any

from mmengine import dist
from mmpretrain.registry import LOOPS
from torch.utils.data import DataLoader

from ...errors import UserError
from ..local_batch_size import local_batch_size
from .resumable_train_loop import ResumableTrainLoop

__all__ = ['StepBudgetTrainLoop', 'check_batches', 'epochs_for_steps']

PLANNED = 'planned_epochs'  # in the checkpoint's message hub


def epochs_for_steps(steps: int, steps_per_epoch: int, least: int, most: int) -> int:
    r"""Number of epochs that comes to a number of steps.

    .. math:: \min(\max(\lceil steps / steps\_per\_epoch \rceil, least), most)

    Example:
        >>> [epochs_for_steps(1000, n, 10, 200) for n in (1, 30, 500)]
        [200, 34, 10]
    """
    return min(max(math.ceil(steps / steps_per_epoch), least), most)


@LOOPS.register_module()
class StepBudgetTrainLoop(ResumableTrainLoop):
    """Training whose number of epochs follows from the size of the data.

    A number of epochs that suits a million images is over in minutes for a
    thousand. This loop chooses the epochs that come to about ``steps``
    iterations (:func:`epochs_for_steps`) within the limits ``epochs``, when
    the Runner builds it; it logs the choice. Schedules without an ``end``,
    the target network's momentum and the estimate of the time follow.

    With ``max_epochs`` it is :class:`ResumableTrainLoop`. A resumed
    training keeps the number that it was planned with, also when the folder
    has grown, unless ``max_epochs`` names another. Its number of steps is that
    of the steps done and those of the epochs that remain, and
    :class:`WarmupCosineParamScheduler` and momentum end there.

    Args:
        runner: The runner.
        dataloader: Dataloader or its config; the Runner passes
            ``train_dataloader``.
        steps: Number of iterations aimed at.
        epochs: Least and largest number of epochs.
        max_epochs: Number of epochs; None chooses it.
        val_begin: As in MMEngine.
        val_interval: As in MMEngine, in epochs.
        dynamic_intervals: As in MMEngine.

    Raises:
        UserError: If a number is not positive, ``epochs`` is not an interval,
            or the data make no batch: there is one image only, fewer images
            than ranks, or fewer than a global batch.
    """

    def __init__(
        self,
        runner,
        dataloader: DataLoader | dict,
        steps: int = 100_000,
        epochs: Sequence[int] = (30, 800),
        max_epochs: int | None = None,
        val_begin: int = 1,
        val_interval: int = 1,
        dynamic_intervals: list[tuple[int, int]] | None = None,
    ) -> None:
        if not (isinstance(steps, int) and steps > 0):
            raise UserError(f'steps must be a positive integer, got {steps!r}')
        try:
            least, most = (int(value) for value in epochs)
        except (TypeError, ValueError) as error:
            raise UserError(f'epochs must be two integers, got {epochs!r}') from error
        if not 1 <= least <= most:
            raise UserError(f'epochs must be (least, largest) with 1 <= least, got {epochs!r}')
        if max_epochs is not None and not (max_epochs == int(max_epochs) and max_epochs > 0):
            raise UserError(f'max_epochs must be a positive integer or None, got {max_epochs!r}')
        super().__init__(
            runner, dataloader, max_epochs or 1, val_begin, val_interval, dynamic_intervals
        )
        check_batches(self.dataloader)
        self._chosen = max_epochs is None
        if not self._chosen:
            return
        per_epoch = len(self.dataloader)
        self._set_epochs(epochs_for_steps(steps, per_epoch, least, most))
        runner.logger.info(
            f'{self.max_epochs} epochs of {per_epoch} steps, {self.max_iters} steps in all: '
            f'train_cfg aims at {steps} steps within {least} to {most} epochs '
            '(train_cfg.max_epochs sets the number itself)'
        )

    def _set_epochs(self, epochs: int) -> None:
        self._max_epochs = epochs
        self._max_iters = epochs * len(self.dataloader)

    def run(self):
        """Train; what was planned stays planned."""
        self._restore()
        hub = self.runner.message_hub
        # Only after a resume is there a plan that this loop did not make.
        planned = hub.get_info(PLANNED, None)
        if self._chosen and self._iter and planned is not None and planned != self.max_epochs:
            self.runner.logger.warning(
                f'the training was planned with {planned} epochs and keeps them, though the data '
                f'would now have {self.max_epochs}; train_cfg.max_epochs sets another number'
            )
            self._resume_with(planned)
        elif self._iter:
            self._resume_with(self.max_epochs)
        hub.update_info(PLANNED, self.max_epochs)
        return super().run()

    def _resume_with(self, epochs: int) -> None:
        """Steps of epochs that are done need not be those of the epochs to come."""
        remaining = self.remaining_iters() + (epochs - self._max_epochs) * len(self.dataloader)
        self._set_end(epochs, self._iter + max(remaining, 0))


def check_batches(loader: DataLoader) -> None:
    """Raises unless the data fill a batch that has statistics."""
    dataset: Any = loader.dataset
    images, ranks = len(dataset), dist.get_world_size()
    batch = local_batch_size(loader)
    if images < 2:
        raise UserError(
            f'train_dataloader: {images} image in the data: neither batch statistics nor a prior '
            'over clusters mean anything; set train_dataloader.dataset.data_root to more images'
        )
    if images < ranks:
        raise UserError(
            f'train_dataloader: {images} images for {ranks} ranks: start at most {images} ranks'
        )
    if not len(loader):
        raise UserError(
            f'train_dataloader: {images} images make no batch of {batch} on each of {ranks} ranks '
            f'(global batch {batch * ranks}, drop_last): lower train_dataloader.batch_size to at '
            f'most {images // ranks}'
        )
    if batch * ranks < 2:
        raise UserError(
            'train_dataloader: a batch of one image has no batch statistics: raise '
            'train_dataloader.batch_size'
        )

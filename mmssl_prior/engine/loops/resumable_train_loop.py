from bisect import bisect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

from mmengine import dist
from mmengine.runner import EpochBasedTrainLoop
from mmpretrain.registry import LOOPS
from torch.utils.data import DataLoader

from ...datasets import ClassBatchSampler
from ...errors import UserError
from ..faults import faults_explained
from ..local_batch_size import local_batch_size
from ..run_state import seed_generators, set_generator_states
from ..schedulers import WarmupCosineParamScheduler
from ..steadfast_workers import outlive_preemptions

__all__ = ['ResumableTrainLoop']


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    r"""MMEngine's ``EpochBasedTrainLoop`` that can be resumed within an epoch.

    What follows a resume is what would have followed the checkpoint, to the
    bit on CPU, as long as the number of ranks is the same:

    * The batches gone by are left out by their indices; nothing is loaded for
      them.
    * The generators of each rank are set at the beginning of an epoch from
      (seed, rank, epoch), and within it, at a resume, to their states in the
      checkpoint. So neither the moment of a resume nor a validation changes
      what is drawn.
    * A validation that was due when the training stopped is made up for.

    On another number of ranks or with another batch size the images that the
    epoch has seen are left out all the same: of I images seen, the first
    :math:`\lceil I / W \rceil W` of the epoch's order on W ranks, so that none
    comes twice (but for those with which ``round_up`` fills the ranks at the
    end of any epoch) and fewer than W are lost. With a sampler that chooses
    classes :math:`\lceil I / B \rceil` of its batches of B images are left
    out; at another total batch its images may come again, as may those of
    data that have changed in number. Weights, optimizer and schedules go on;
    generators start anew from (seed, rank, epoch, iteration), and the number
    of steps follows the new batches, with it the end of
    :class:`WarmupCosineParamScheduler` and momentum.

    ``ResumableCheckpointHook`` writes the checkpoints that have all this;
    with others the training goes on at the beginning of the epoch, as in
    MMEngine.

    Args:
        runner: The runner.
        dataloader: Dataloader or its config; the Runner passes
            ``train_dataloader``.
        max_epochs: Number of epochs.
        val_begin: As in MMEngine.
        val_interval: As in MMEngine, in epochs.
        dynamic_intervals: As in MMEngine.
        by_epoch: Must be True, as a config that inherits from one with
            MMEngine's loop may say.

    Raises:
        UserError: If ``by_epoch`` is False, or the ranks have not equally many
            batches.
    """

    def __init__(
        self,
        runner: Any,
        dataloader: DataLoader | dict,
        max_epochs: int,
        val_begin: int = 1,
        val_interval: int = 1,
        dynamic_intervals: list[tuple[int, int]] | None = None,
        by_epoch: bool = True,
    ) -> None:
        if not by_epoch:
            raise UserError(
                'ResumableTrainLoop counts in epochs: for a loop over iterations write '
                "train_cfg=dict(_delete_=True, type='IterBasedTrainLoop', max_iters=...) and "
                "default_hooks.checkpoint.type='CheckpointHook'"
            )
        super().__init__(runner, dataloader, max_epochs, val_begin, val_interval, dynamic_intervals)
        outlive_preemptions(self.dataloader)
        batches = dist.all_gather_object(len(self.dataloader))
        if len(set(batches)) > 1:
            # The ranks with more would wait for the others for ever.
            raise UserError(
                f'train_dataloader: the ranks have {batches} batches; give all as many with '
                'sampler.round_up=True or drop_last=True'
            )

    #: The checkpoint's part for this loop, set before it is resumed.
    saved: Mapping[str, Any] | None = None
    # Where the epoch was entered: its first batch, and the images of all ranks before that.
    _first_batch = 0
    _images_before = 0
    _generators: dict | None = None
    _validate_first = False
    _max_epochs: int
    _max_iters: int

    def validation_follows(self, epochs: int) -> bool:
        """Whether so many epochs are followed by a validation."""
        # That of MMEngine's loop is behind until the epoch is counted.
        interval = self.dynamic_intervals[bisect(self.dynamic_milestones, epochs + 1) - 1]
        return (
            self.runner.val_loop is not None
            and epochs >= self.val_begin
            and (epochs % interval == 0 or epochs == self._max_epochs)
        )

    @property
    def _sampler(self) -> Any:
        """What has the order of the epoch, with its seed."""
        return self.dataloader.batch_sampler.sampler  # type: ignore[union-attr]

    def position(self, batches: int) -> dict[str, Any]:
        """Where the epoch is after its first batches, for the checkpoint."""
        ranks = dist.get_world_size()
        batch = local_batch_size(self.dataloader)
        images = self._images_before + (batches - self._first_batch) * batch * ranks
        dataset: Any = self.dataloader.dataset
        return dict(
            batches=batches,
            batch_size=batch,
            ranks=ranks,
            images=images,
            dataset=len(dataset),
            seed=int(self._sampler.seed) if hasattr(self._sampler, 'seed') else None,
        )

    def remaining_iters(self) -> int:
        """Iterations from here to the end of the training."""
        return (self._max_epochs - self._epoch) * len(self.dataloader) - self._first_batch

    def run(self):
        """Train from the beginning, or from where the checkpoint stopped."""
        self._restore()
        self.runner.call_hook('before_train')
        # The last validation, too, may be one to make up for.
        while (self._epoch < self._max_epochs or self._validate_first) and not self.stop_training:
            if not self._validate_first:
                self.run_epoch()
            self._validate_first = False
            self._decide_current_val_interval()
            if self.validation_follows(self._epoch):
                self.runner.val_loop.run()
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        """The batches of an epoch, or those that a checkpoint left of it."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        words = [self.runner.seed or 0, dist.get_rank(), self._epoch]
        seed_generators(*words)
        loader = self.dataloader
        explained = faults_explained(local_batch_size(loader), loader.num_workers)
        with explained, self._passing_over(self._images_before):
            # Draws the seeds of the workers, as it did when the epoch began.
            batches = iter(self.dataloader)
            if self._generators is not None:
                set_generator_states(self._generators)
            elif self._first_batch:
                seed_generators(*words, self._iter)
            self._generators = None
            for index, batch in enumerate(batches, self._first_batch):
                self.run_iter(index, batch)
        self._first_batch = self._images_before = 0
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _restore(self) -> None:
        """Go to where the checkpoint stopped, if it was one to resume."""
        saved, self.saved = self.saved, None
        if not self._iter or saved is None:
            return
        now = self.position(0)
        then = now | saved['position']
        self._validate_first = bool(saved['validate'])
        if then['seed'] is not None:
            # Where the config has none, this process drew another; the order is that of the first.
            self._sampler.seed = then['seed']
        batches_alike = all(then[name] == now[name] for name in ('batch_size', 'ranks'))
        if batches_alike and then['dataset'] == now['dataset']:
            self._first_batch, self._images_before = then['batches'], then['images']
            if self._first_batch:  # an epoch that has not begun will seed them
                self._generators = saved['generators'][dist.get_rank()]
        else:
            self._enter_after(then['images'])
        # Not only when they change: it may have been resumed with others before.
        self._set_end(self._max_epochs, self._iter + max(self.remaining_iters(), 0))
        total = then['batch_size'] * then['ranks'] == now['batch_size'] * now['ranks']
        if then['dataset'] != now['dataset']:
            order = (
                f'the data have {now["dataset"]} images and had {then["dataset"]}, so that some '
                'may come again'
            )
        elif isinstance(self.dataloader.batch_sampler, ClassBatchSampler) and not total:
            order = (
                'the sampler chooses other images for other batches, so that some may come again'
            )
        else:
            order = 'none comes twice'
        if not batches_alike:
            self.runner.logger.warning(
                f'resumed on {now["ranks"]} ranks with batches of {now["batch_size"]} what ran on '
                f'{then["ranks"]} with {then["batch_size"]}: weights, optimizer and schedules are '
                f'kept; of the images of this epoch, which has seen {then["images"]}, {order}; the '
                'batches and what is random in them are others from here on, and the training '
                f'ends at iteration {self._max_iters}'
            )
        elif then['dataset'] != now['dataset'] and then['images']:
            self.runner.logger.warning(
                f'resumed in an epoch that has seen {then["images"]} images: {order} in it'
            )

    def _set_end(self, epochs: int, iterations: int) -> None:
        """Another end of the training than the Runner built schedules and accumulation for."""
        ends = {True: self._max_epochs, False: self._max_iters}
        if ends == {True: epochs, False: iterations}:
            return
        self._max_epochs, self._max_iters = epochs, iterations
        now = {True: epochs, False: iterations}
        for schedule in _flat(self.runner.param_schedulers):
            # Those that the Runner gave the length of the training, not an end of their own.
            follows = isinstance(schedule, WarmupCosineParamScheduler)
            if follows and schedule.end == ends[schedule.by_epoch]:
                schedule.set_end(now[schedule.by_epoch])
        wrapper = self.runner.optim_wrapper
        wrapper.initialize_count_status(self.runner.model, self._iter, iterations)

    def _enter_after(self, images: int) -> None:
        """Sets the first batch after so many images of all ranks, made up in other batches."""
        batch, ranks = local_batch_size(self.dataloader), dist.get_world_size()
        sampler: Any = self.dataloader.batch_sampler
        if isinstance(sampler, ClassBatchSampler):
            self._first_batch = min(-(-images // (batch * ranks)), len(self.dataloader))
            self._images_before = self._first_batch * batch * ranks
            return
        passed = -(-images // ranks)
        left = max(len(sampler.sampler) - passed, 0)
        # Counted from the end: the first of them need not begin where one would have.
        self._first_batch = len(self.dataloader) - (
            left // batch if sampler.drop_last else -(-left // batch)
        )
        self._images_before = passed * ranks

    @contextmanager
    def _passing_over(self, images: int) -> Iterator[None]:
        """The loader leaves out the first images of the epoch, by their indices."""
        sampler: Any = self.dataloader.batch_sampler
        if isinstance(sampler, ClassBatchSampler):
            sampler.skip(self._epoch * len(self.dataloader) + self._first_batch)
            yield
        elif not images:
            yield
        else:
            whole = sampler.sampler
            sampler.sampler = _Remainder(whole, images // dist.get_world_size())
            try:
                yield
            finally:
                sampler.sampler = whole


def _flat(schedules: Any) -> list:
    """The Runner's schedules, of one optimizer or of several by name."""
    if isinstance(schedules, dict):
        return [schedule for group in schedules.values() for schedule in group]
    return list(schedules or [])


class _Remainder:
    """A sampler without its first samples; in all else the sampler itself."""

    def __init__(self, sampler: Any, passed: int) -> None:
        self._sampler = sampler
        self._passed = passed

    def __iter__(self) -> Iterator:
        return islice(iter(self._sampler), self._passed, None)

    def __len__(self) -> int:
        return len(self._sampler)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from mmengine import dist
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmpretrain.registry import HOOKS

from ...errors import Preempted, UserError
from ...functional import DelayedMaximum
from ..loops import ResumableTrainLoop
from ..run_state import generator_states, versions
from ..whole_files import publish, replace

__all__ = ['ResumableCheckpointHook']

GO_ON, SAVE, LEAVE = range(3)
SIGNALS = ('SIGTERM', 'SIGUSR1')
WRITING = '.writing-'
LATEST = 'last_checkpoint'
RECENT = 'recent_checkpoints'  # in the checkpoint's message hub
BEST = 'best_ckpt_path'  # MMEngine's attribute
KEPT_WITHIN_EPOCHS = 2


@HOOKS.register_module()
class ResumableCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook`` for trainings that outlive their machines.

    Beside the checkpoints of MMEngine, every ``interval`` epochs, it writes
    one within an epoch whenever ``minutes`` have passed, so that a hard kill
    costs no more than these; each says in the log what share of the time it
    took. Those are named ``iter_N.pth``, and the last two writings are
    kept. In each of them is all that :class:`ResumableTrainLoop` needs to go
    on: beside what MMEngine stores the position in the epoch, the states of
    every rank's generators and the versions of what computes.

    A checkpoint is written to a temporary file, flushed to the disk and then
    renamed; older ones are deleted after that. A file of one of these names
    is therefore whole, and so are those of ``save_best``.

    At SIGTERM or SIGUSR1 (a preemption) the iteration is finished, a
    checkpoint written, and the process ends with status 75 once all ranks
    have; any of them may get the signal. They agree on this, and on the time
    for a checkpoint, over gloo between the hosts and one iteration late.

    Args:
        minutes: Time between checkpoints within an epoch; None writes none, before
            a validation neither, whose end a signal then waits for.
        interval: As in MMEngine, in epochs.
        by_epoch: As in MMEngine; only True.
        **kwargs: Those of ``mmengine.hooks.CheckpointHook``.

    Raises:
        UserError: If ``minutes`` is not positive or ``by_epoch`` not True; in
            training if the loop cannot be resumed within an epoch, or if a
            checkpoint cannot be written, for want of space for example.
    """

    def __init__(
        self,
        minutes: float | None = 10,
        interval: int = -1,
        by_epoch: bool = True,
        **kwargs: Any,
    ) -> None:
        if minutes is not None and not minutes > 0:
            raise UserError(f'minutes must be positive or None, got {minutes}')
        if not by_epoch:
            raise UserError(
                'ResumableCheckpointHook counts in epochs and minutes: leave by_epoch out, and set '
                'minutes in place of an interval in iterations'
            )
        super().__init__(interval=interval, by_epoch=True, **kwargs)
        self.minutes = minutes
        self._state: dict | None = None
        self._asked = ''
        self._agree: DelayedMaximum | None = None
        self._handlers: dict = {}
        self._written_at = time.monotonic()
        self._saved_iter = -1
        self._wish = GO_ON
        self._validates = False
        self._resumed_from: str | None = None

    # What is in a checkpoint

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Hand the loop its part."""
        loop = runner._train_loop
        if isinstance(loop, ResumableTrainLoop):
            loop.saved = checkpoint.get('run_state')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add what MMEngine leaves out."""
        if self._state is not None:
            checkpoint['run_state'] = self._state

    # When one is written

    def before_train(self, runner) -> None:
        """Get ready for signals, and clear away what an interrupted writing left."""
        super().before_train(runner)
        if not isinstance(runner.train_loop, ResumableTrainLoop):
            raise UserError(
                'ResumableCheckpointHook needs a loop that can go on within an epoch: set '
                "train_cfg.type='ResumableTrainLoop', or default_hooks.checkpoint.type="
                "'CheckpointHook'"
            )
        if self._is_local and dist.is_main_process():
            for part in Path(self.out_dir).glob(f'{WRITING}*'):
                part.unlink(missing_ok=True)
        self._agree = DelayedMaximum()
        self._written_at = time.monotonic()
        self._saved_iter = runner.iter if runner.iter else -1
        self._resumed_from = runner._load_from
        if threading.current_thread() is threading.main_thread():
            for name in SIGNALS:
                number = getattr(signal, name, None)
                if number is not None:
                    self._handlers[number] = signal.signal(number, self._ask_to_leave)

    def _ask_to_leave(self, number: int, frame: Any) -> None:
        # Only noted: the iteration goes on to its end. A launcher may well send it again.
        self._asked = signal.Signals(number).name
        if self._validates:
            # What it began with is written, and it is made up for.
            self._leave(self._saved_iter)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Write a checkpoint if it is time to, or if the system wants the machine."""
        wish = GO_ON
        if self._asked:
            wish = LEAVE
        elif self.minutes is not None and dist.is_main_process():
            wish = SAVE if time.monotonic() - self._written_at > 60 * self.minutes else GO_ON
        assert self._agree is not None
        self._wish = max(self._wish, self._agree(wish))
        # Gradients that wait for the rest of their batch are in no checkpoint.
        if self._wish == GO_ON or not runner.optim_wrapper.should_update():
            return
        leaves, self._wish = self._wish == LEAVE, GO_ON
        self._save_within_epoch(runner, batch_idx + 1)
        if leaves:
            # The launcher ends the others as soon as one has left: let all have written.
            dist.barrier()
            self._leave(runner.iter + 1)

    def after_train_epoch(self, runner) -> None:
        """As in MMEngine; after the last, the checkpoints within epochs have served."""
        self._collect(runner, 0, runner.train_loop.validation_follows(runner.epoch + 1))
        super().after_train_epoch(runner)
        self._state = None
        if self.is_last_train_epoch(runner) and self._saved_iter == runner.iter:
            # With save_last=False the newest may be one of them.
            newest = runner.message_hub.get_info(RECENT, [])[-1:]
            self._forget(runner, keep=int(newest == [f'iter_{runner.iter}.pth']))

    def before_val(self, runner) -> None:
        """Before a validation in training, so that a signal need not wait for its end."""
        unsaved = self._saved_iter != runner.iter
        if self._agree is None or (unsaved and self.minutes is None):
            return
        if unsaved:
            self._collect(runner, 0, True)
            self._write_within_epoch(runner, runner.epoch, runner.iter)
        # All of them leave, or none: the others would wait in the validation.
        told = any(dist.all_gather_object(bool(self._asked)))
        self._validates = True
        if told or self._asked:
            self._leave(runner.iter)

    def after_val_epoch(self, runner, metrics=None) -> None:
        """As in MMEngine; a signal does not cut off what it writes."""
        self._validates = False
        super().after_val_epoch(runner, metrics)

    def after_val(self, runner) -> None:
        """From here on a signal waits for the end of an iteration again."""
        self._validates = False

    def after_train(self, runner) -> None:
        """As in MMEngine, and give the signals back."""
        self._stop_listening()
        super().after_train(runner)

    def _stop_listening(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
        if self._agree is not None:
            self._agree.close()
            self._agree = None

    def _leave(self, iterations: int) -> None:
        raise Preempted(
            f'{self._asked or "another rank was told to stop"}: checkpoint '
            f'{self.last_ckpt or self._resumed_from} holds all {iterations} iterations'
        )

    # How it is written

    @property
    def _is_local(self) -> bool:
        return isinstance(self.file_backend, LocalBackend)

    def _collect(self, runner, batches: int, validate: bool) -> None:
        """What the checkpoint is to hold of every rank; all of them take part."""
        self._state = dict(
            position=runner.train_loop.position(batches),
            generators=dist.all_gather_object(generator_states()),
            validate=validate,
            versions=versions(),
        )

    def _save_within_epoch(self, runner, batches: int) -> None:
        self._collect(runner, batches, False)
        self._write_within_epoch(runner, runner.epoch, runner.iter + 1)

    def _write_within_epoch(self, runner, epoch: int, iteration: int) -> None:
        name = f'iter_{iteration}.pth'
        recent = [*runner.message_hub.get_info(RECENT, []), name]
        runner.message_hub.update_info(RECENT, recent)
        self._write(runner, name, dict(epoch=epoch, iter=iteration))
        self._forget(runner, keep=KEPT_WITHIN_EPOCHS)

    def _save_checkpoint_with_step(self, runner, step, meta) -> None:
        """MMEngine's, but for the order: written first, then the oldest deleted."""
        if self._state is None:  # again, for the name of the best one to be in it
            self._collect(runner, 0, False)
        name = self.filename_tmpl.format(step)
        surplus = []
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            kept = [*self.keep_ckpt_ids, step]
            surplus = kept[: -self.max_keep_ckpts]
            self.keep_ckpt_ids.extend([step])
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        recent = [*runner.message_hub.get_info(RECENT, []), name]
        runner.message_hub.update_info(RECENT, recent)
        self._write(runner, name, meta)
        if dist.is_main_process():
            for old in surplus:
                self._remove(self.filename_tmpl.format(old))
        self._forget(runner, keep=KEPT_WITHIN_EPOCHS)

    def _write(self, runner, name: str, meta: dict) -> None:
        start = time.monotonic()
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        try:
            self._put(
                runner.save_checkpoint,
                self.out_dir,
                name,
                file_client_args=self.file_client_args,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
            if dist.is_main_process():
                with _disk_explained(self.last_ckpt):
                    replace(Path(runner.work_dir, LATEST), WRITING, self.last_ckpt)
        finally:
            self._state = None
        took, since = time.monotonic() - start, time.monotonic() - self._written_at
        self._written_at, self._saved_iter = time.monotonic(), meta['iter']
        runner.logger.info(
            f'Checkpoint {name} took {took:.2g} s, {took / max(since, 1e-9):.1%} of the time since '
            'the one before'
        )

    def _put(self, save: Callable, out_dir: str, filename: str, **kwargs: Any) -> None:
        """``save(out_dir, filename, ...)`` to a file that is there whole or not at all."""
        if filename.startswith(WRITING):  # asked for by another of these
            save(out_dir, filename, **kwargs)
            return
        path = self.file_backend.join_path(out_dir, filename)
        written = f'{WRITING}{filename}' if self._is_local else filename
        try:
            with _disk_explained(path):
                save(out_dir, written, **kwargs)
                if self._is_local and dist.is_main_process():
                    publish(Path(out_dir, written), Path(path))
        except UserError:
            if self._is_local:
                Path(out_dir, written).unlink(missing_ok=True)
            raise

    def _save_best_checkpoint(self, runner, metrics) -> None:
        """MMEngine's, but for the order: written whole first, then the one before deleted."""
        if not self.save_best:
            return
        several = len(self.key_indicators) > 1
        paths: Any = self.best_ckpt_path_dict if several else vars(self)
        before = {name: paths[name] for name in (paths if several else [BEST])}
        paths.update(dict.fromkeys(before))  # so that nothing is deleted
        save = runner.save_checkpoint
        runner.save_checkpoint = partial(self._put, save)
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            runner.save_checkpoint = save
        for name, path in before.items():
            if paths[name] is None:
                paths[name] = path
            elif path not in (None, paths[name]) and dist.is_main_process():
                self._remove(Path(path).name)

    def _forget(self, runner, keep: int) -> None:
        """Deletes checkpoints within epochs that are not among the last writings."""
        recent = list(dict.fromkeys(runner.message_hub.get_info(RECENT, [])))
        kept = recent[len(recent) - keep :]
        if dist.is_main_process():
            for name in recent:
                if name.startswith('iter_') and name not in kept:
                    self._remove(name)
        runner.message_hub.update_info(RECENT, kept)

    def _remove(self, name: str) -> None:
        path = self.file_backend.join_path(self.out_dir, name)
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)


@contextmanager
def _disk_explained(path: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f'checkpoint {path} could not be written ({error.strerror or error}); '
            'those before it are whole: make room, then go on with --resume'
        ) from error

"""Workers of a loader that outlive a signal to the whole process group."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable

from torch.utils.data import DataLoader

__all__ = ['outlive_preemptions']


def outlive_preemptions(loader: DataLoader) -> None:
    """Workers of this loader end at the SIGTERM of their own process only.

    SLURM and shells may send a preemption to every process of a job. The
    workers have to stay until the training has written its checkpoint, which
    then ends them. Where the system does not name the sender of a signal
    (macOS, Windows), nothing is changed.
    """
    if not isinstance(loader.worker_init_fn, _Init) and hasattr(signal, 'sigwaitinfo'):
        loader.worker_init_fn = _Init(loader.worker_init_fn)


class _Init:
    """The ``worker_init_fn`` of a loader, behind the choice of signals; can be pickled."""

    def __init__(self, inner: Callable[[int], None] | None) -> None:
        self.inner = inner

    def __call__(self, worker: int) -> None:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        # Blocked in every thread that comes after, and taken by one alone, with its sender.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with_parent, daemon=True).start()
        if self.inner is not None:
            self.inner(worker)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    while parent is not None and signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent.pid:
        pass
    os._exit(0)  # as torch's own handler does

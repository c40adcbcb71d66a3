"""Jobs in parallel, each in a process that begins with the package imported."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

__all__ = ['Pool']

STOP = ('SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1')


class Pool:
    """Runs jobs, at most as many at once as there are slots.

    The processes are forks of a server that has imported some modules, which
    saves each of them five seconds. A first signal of those that end a
    program asks the jobs to stop (SIGTERM) and begins no others; a second one
    kills them.

    Args:
        slots: Variables of the environment of each slot, such as the number
            of a GPU.
        preload: Modules that the server imports.
        variables: Of the server's environment while it does.
    """

    def __init__(
        self,
        slots: Sequence[Mapping[str, str]],
        preload: Sequence[str],
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.slots, self.preload = list(slots), list(preload)
        self.variables = dict(variables or {})
        self.stopped = ''
        self._running: dict[Any, tuple[BaseProcess, Any, int]] = {}
        self._told: set[int | None] = set()

    def run(
        self,
        jobs: Sequence[Any],
        target: Callable[[Any, Mapping[str, str]], tuple],
        ended: Callable[[Any, int], None],
    ) -> None:
        """Run the jobs in their order.

        Args:
            jobs: What is to be done.
            target: From a job and the variables of its slot to a function that
                can be pickled and its arguments.
            ended: Is told each job that has ended, and its exit status.
        """
        waiting, free = list(jobs), list(range(len(self.slots)))
        if not waiting:
            return
        context = _context(self.preload, self.variables)
        with self._signals():
            while (waiting and not self.stopped) or self._running:
                while waiting and free and not self.stopped:
                    slot, job = free.pop(0), waiting.pop(0)
                    function, *arguments = target(job, self.slots[slot])
                    process = context.Process(target=function, args=tuple(arguments))
                    process.start()
                    self._running[process.sentinel] = process, job, slot
                if self.stopped:
                    # One may have been started while the signal came.
                    self._tell()
                for sentinel in wait(list(self._running), timeout=1):
                    process, job, slot = self._running.pop(sentinel)
                    process.join()
                    free.append(slot)
                    ended(job, process.exitcode if process.exitcode is not None else 1)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        numbers = [getattr(signal, name) for name in STOP if hasattr(signal, name)]
        before = {number: signal.signal(number, self._stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: Any) -> None:
        if self.stopped:
            for process, _, _ in list(self._running.values()):
                process.kill()
        self.stopped = signal.Signals(number).name
        self._tell()

    def _tell(self) -> None:
        """Ask each process to stop, once: a second signal would cut off what it writes."""
        for process, _, _ in list(self._running.values()):
            if process.pid not in self._told:
                self._told.add(process.pid)
                process.terminate()


def _context(preload: Sequence[str], variables: Mapping[str, str]) -> Any:
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(list(preload))
    before = dict(os.environ)
    # A fork has no threads but the one that forks; nor a driver that was initialised before.
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    os.environ.update(variables, PYTORCH_NVML_BASED_CUDA_CHECK='1')
    try:
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return context

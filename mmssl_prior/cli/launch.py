"""torchrun without its own traceback: the rank that failed has said why already.

``python -m mmssl_prior.cli.launch [torchrun's arguments] SCRIPT [arguments]``
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from torch.distributed.elastic.multiprocessing import api
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun

from mmssl_prior.errors import Preempted

__all__ = ['main']

HANDLER = '_terminate_process_handler'
# The system wants the machine: a training ends by itself behind a checkpoint.
PREEMPTIONS = [getattr(signal, name) for name in ('SIGTERM', 'SIGUSR1') if hasattr(signal, name)]


def _ending(code: int) -> str:
    if code >= 0:
        return f'exited with status {code}'
    try:
        return f'was ended by {signal.Signals(-code).name}'
    except ValueError:
        return f'was ended by signal {-code}'


def _once(handler: Callable) -> Callable:
    """The handler of a signal, deaf to Ctrl-C from its first call on.

    torchrun passes the first on to the ranks. A second would break off its
    waiting, and it would end them before they say how to go on.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        handler(number, frame)

    return handle


def _children() -> list[int]:
    """The processes that this one started, as far as the system tells."""
    found = []
    for task in Path('/proc/self/task').glob('*/children'):
        with suppress(OSError):  # a thread that has just ended
            found += [int(pid) for pid in task.read_text().split()]
    return found


def _pass_on(handler: Callable) -> Callable:
    """torchrun's handler of a signal, but for preemptions, which only the ranks are told.

    torchrun would give them half a minute, whatever the size of the
    checkpoint; the system says itself when its patience ends.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        children = _children() if number in PREEMPTIONS else []
        if not children:
            handler(number, frame)
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    return handle


def main(argv: Sequence[str] | None = None) -> int:
    """Starts the ranks and waits; returns the exit status of the first that failed."""
    # torchrun installs it by this name; where a release renamed it, a second Ctrl-C still counts,
    # and a preemption leaves the ranks half a minute.
    if hasattr(api, HANDLER):
        handler = _pass_on(_once(getattr(api, HANDLER)))
        setattr(api, HANDLER, handler)
        for number in PREEMPTIONS:
            signal.signal(number, handler)
    try:
        torchrun(argv)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode != Preempted.STATUS:  # which is no failure, and has been said
            print(f'rank {rank} {_ending(failure.exitcode)}; see its error above', file=sys.stderr)
        return failure.exitcode if failure.exitcode > 0 else 1
    except SignalException as error:
        # The ranks were told, and the first of them says how to go on.
        return 128 + int(error.sigval)
    return 0


if __name__ == '__main__':
    sys.exit(main())

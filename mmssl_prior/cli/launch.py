"""torchrun without its own traceback: the rank that failed has said why already.

``python -m mmssl_prior.cli.launch [torchrun's arguments] SCRIPT [arguments]``
"""

import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from torch.distributed.elastic.multiprocessing import api
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun

__all__ = ['main']

HANDLER = '_terminate_process_handler'


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


def main(argv: Sequence[str] | None = None) -> int:
    """Starts the ranks and waits; returns the exit status of the first that failed."""
    # torchrun installs it by this name; where a release renamed it, a second Ctrl-C still counts.
    if hasattr(api, HANDLER):
        setattr(api, HANDLER, _once(getattr(api, HANDLER)))
    try:
        torchrun(argv)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        print(f'rank {rank} {_ending(failure.exitcode)}; see its error above', file=sys.stderr)
        return failure.exitcode if failure.exitcode > 0 else 1
    except SignalException as error:
        # The ranks were told, and the first of them says how to go on.
        return 128 + int(error.sigval)
    return 0


if __name__ == '__main__':
    sys.exit(main())

"""What happens to a training that the system starves, in one line with the remedy."""

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import UserError

__all__ = ['faults_explained']

SIGCHLD = getattr(signal, 'SIGCHLD', None)
HOST_MEMORY = ('DefaultCPUAllocator', 'not enough memory', 'Cannot allocate memory')
WORKER = re.compile(r'DataLoader worker \(pid(?:\(s\))? [\d, ]+\)[^.]*')


@contextmanager
def faults_explained(batch_size: int, workers: int) -> Iterator[None]:
    """Turns the system's refusals during training into errors that name the setting to change.

    Args:
        batch_size: Images of a batch on this rank.
        workers: Processes that load them.

    Raises:
        UserError: For want of memory on a GPU or the host, and for a worker
            that was killed.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise UserError(
            f'the GPU is out of memory ({_first_line(error)}); lower train_dataloader.batch_size '
            f'(now {batch_size} on each GPU), or spend time in place of memory with '
            'model.backbone.with_cp=True, or train in bfloat16; the last checkpoint is good: go on '
            'with --resume'
        ) from error
    except MemoryError as error:
        raise _host_memory(error, batch_size, workers) from error
    except (ConnectionError, EOFError) as error:
        # Cut off while it handed over a batch.
        if not workers:
            raise
        text = f'a DataLoader worker is gone ({_first_line(error)})'
        raise _dead_worker(text, batch_size, workers) from error
    except RuntimeError as error:
        text = str(error)
        worker = WORKER.search(text)
        if worker:
            text = ' '.join(worker.group().split())
            raise _dead_worker(text, batch_size, workers) from error
        if any(sign in text for sign in HOST_MEMORY):
            raise _host_memory(error, batch_size, workers) from error
        raise


def _dead_worker(text: str, batch_size: int, workers: int) -> UserError:
    # torch says it again at every child that ends from now on, in the middle of anything.
    if threading.current_thread() is threading.main_thread() and SIGCHLD is not None:
        signal.signal(SIGCHLD, signal.SIG_DFL)
    return UserError(
        f'{text}: mostly the system, out of memory or of shared memory; lower '
        f'train_dataloader.num_workers (now {workers}) or batch_size (now {batch_size}), or '
        'enlarge /dev/shm; the last checkpoint is good: go on with --resume'
    )


def _host_memory(error: BaseException, batch_size: int, workers: int) -> UserError:
    return UserError(
        f'the machine is out of memory ({_first_line(error)}); lower train_dataloader.batch_size '
        f'(now {batch_size}) or num_workers (now {workers}); the last checkpoint is good: go on '
        'with --resume'
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__

"""Real gloo process groups for tests: different data per rank, no mocks."""

import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from tests.processes import forkserver_context, start_afresh

__all__ = ['run_ranks']

LEAST = 60  # seconds that ranks on a busy machine may need to find each other


def run_ranks(world_size: int, fn: Callable, *args: Any, timeout: float = 600) -> list:
    """Call ``fn(rank, *args)`` in ``world_size`` new processes joined by gloo.

    RANK, WORLD_SIZE and LOCAL_RANK are set, so a Runner with
    ``launcher='pytorch'`` finds the process group ready. (On CPU it needs
    ``model_wrapper_cfg=dict(type='MMDistributedDataParallel', device_ids=None)``:
    MMEngine's default passes device ids, which torch refuses there.)

    Args:
        world_size: Number of processes.
        fn: Function at the top level of an importable module.
        *args: Picklable arguments, the same for every rank.
        timeout: Seconds for all ranks together, and for each collective, which get a minute at
            least: they meet in one before ``fn`` begins.

    Returns:
        What each rank returned, in the order of ranks.

    Raises:
        RuntimeError: With the traceback of the rank that failed first.
        TimeoutError: If a rank is still running after ``timeout`` seconds.
    """
    context = forkserver_context()
    with tempfile.TemporaryDirectory() as tmp:
        processes = [
            context.Process(
                target=_rank, args=(dict(os.environ), rank, world_size, tmp, timeout, fn, args)
            )
            for rank in range(world_size)
        ]
        try:
            for process in processes:
                process.start()
            _wait(processes, Path(tmp), time.monotonic() + timeout, timeout)
        finally:
            for process in processes:
                if process.is_alive():
                    process.kill()
                if process.pid is not None:
                    process.join()
        return [
            torch.load(f'{tmp}/result_{rank}.pt', weights_only=False) for rank in range(world_size)
        ]


def _rank(
    environment: dict[str, str],
    rank: int,
    world_size: int,
    tmp: str,
    timeout: float,
    fn: Callable,
    args: tuple,
) -> None:
    start_afresh(environment)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world_size))
    torch.set_num_threads(1)
    try:
        # A file instead of a port: no other job can take it first.
        distributed.init_process_group(
            'gloo',
            init_method=f'file://{tmp}/rendezvous',
            rank=rank,
            world_size=world_size,
            timeout=timedelta(seconds=max(timeout, LEAST)),
        )
        torch.save(fn(rank, *args), f'{tmp}/result_{rank}.part')
        Path(tmp, f'result_{rank}.part').rename(Path(tmp, f'result_{rank}.pt'))
        # A rank that leaves early would break its neighbours' last collective. They meet by files:
        # torch 2.5 hangs now and then where a gloo group ends while another rank takes it down.
        while not all(Path(tmp, f'result_{other}.pt').exists() for other in range(world_size)):
            time.sleep(0.01)
    except BaseException:
        text = f'rank {rank} of {world_size} failed:\n{traceback.format_exc()}'
        Path(tmp, f'error_{rank}.part').write_text(text)
        Path(tmp, f'error_{rank}.part').rename(Path(tmp, f'error_{rank}.txt'))
        _leave(1)
    _leave(0)


def _leave(code: int) -> None:
    """Not by sys.exit, which could wait for gloo's threads."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _wait(processes: list, tmp: Path, deadline: float, timeout: float) -> None:
    while any(process.exitcode != 0 for process in processes):
        # The first error is the cause; its neighbours then fail in their collectives.
        errors = sorted(tmp.glob('error_*.txt'), key=lambda path: path.stat().st_mtime_ns)
        if errors:
            raise RuntimeError(errors[0].read_text())
        for rank, process in enumerate(processes):
            if process.exitcode:
                process.join()
                if not list(tmp.glob('error_*.txt')):
                    raise RuntimeError(f'rank {rank} ended with exit code {process.exitcode}')
        if time.monotonic() > deadline:
            running = [rank for rank, process in enumerate(processes) if process.is_alive()]
            raise TimeoutError(f'ranks {running} still run after {timeout} s')
        time.sleep(0.05)

"""The helper that runs ranks must itself not hide failures."""

import time

import pytest
import torch
from mmengine import dist

from tests.gloo import run_ranks


def _sum(rank, scale):
    x = torch.tensor([float(scale * (rank + 1))])
    dist.all_reduce(x, 'sum')
    return rank, x


def _fail(rank):
    if rank == 1:
        raise ValueError('broken on purpose')
    dist.barrier()


def _sleep(rank):
    time.sleep(60)


def test_results_come_in_the_order_of_ranks():
    for rank, result in enumerate(run_ranks(3, _sum, 10)):
        assert result[0] == rank
        torch.testing.assert_close(result[1], torch.tensor([60.0]))


def test_failure_of_one_rank_is_raised_with_its_traceback():
    with pytest.raises(RuntimeError, match='rank 1 of 2 failed(.|\n)*broken on purpose'):
        run_ranks(2, _fail)


def test_timeout():
    with pytest.raises(TimeoutError, match='still run'):
        run_ranks(2, _sleep, timeout=1)

"""How long a training step takes, found out without leaving a trace."""

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine import dist
from mmengine.model import is_model_wrapper
from torch import nn

from ..datasets import EpochIndex
from .local_batch_size import local_batch_size

__all__ = ['StepTime', 'measure_step', 'untouched']

PATIENCE = 5.0  # seconds of loading images, and below which a step is measured twice


class StepTime(NamedTuple):
    """Seconds of a training step, of the slowest rank.

    Attributes:
        image: Loading and transforming one image in one process.
        images: Number of images that were loaded.
        loading: A batch, by the workers together.
        compute: Forward and backward pass.
        workers: Processes that can load at a time: those of the config, as
            far as there are cores.
        overlap: Whether loading and computing go on at the same time.
    """

    image: float
    images: int
    loading: float
    compute: float
    workers: int
    overlap: bool

    @property
    def step(self) -> float:
        return max(self.loading, self.compute) if self.overlap else self.loading + self.compute

    @property
    def bottleneck(self) -> str:
        return 'data loading' if self.loading > self.compute else 'compute'


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Put back what running a model leaves behind, to the bit.

    Generators of torch, numpy and Python; buffers; plain attributes of every
    module, such as modes and counters. Gradients are not: take them with
    ``torch.autograd.grad``, which stores none.
    """
    modules = list(model.modules())
    attributes = [(module, dict(vars(module))) for module in modules]
    buffers = [
        (module, name, buffer, None if buffer is None else buffer.detach().clone())
        for module in modules
        for name, buffer in module._buffers.items()
    ]
    python, numpy = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            for module, saved in attributes:
                vars(module).clear()
                vars(module).update(saved)
            with torch.no_grad():
                for module, name, buffer, value in buffers:
                    if buffer is not None and value is not None:
                        buffer.copy_(value)
                    module._buffers[name] = buffer
            random.setstate(python)
            np.random.set_state(numpy)


def measure_step(runner, limit: int = 16) -> StepTime:
    """Time the loading of a few images and a forward and backward pass of a batch of them.

    The model, the pipeline and the collate function are those of the run; the
    images, spread over the data, are repeated until they fill the batch. No
    optimizer step is taken and nothing is exchanged between ranks but what
    the loss itself exchanges; so all ranks have to call this together.

    Args:
        runner: The runner, with its loop and model built.
        limit: Number of images to load, at most.
    """
    loader = runner.train_loop.dataloader
    wrapped = is_model_wrapper(runner.model)
    model = runner.model.module if wrapped else runner.model
    batch_size = local_batch_size(loader)
    with untouched(model):
        samples, image = _load(loader.dataset, min(limit, batch_size), runner.seed or 0)
        batch = loader.collate_fn([samples[i % len(samples)] for i in range(batch_size)])
        compute = _compute(runner, model, batch)
    cores, ranks = _cores(), int(os.environ.get('LOCAL_WORLD_SIZE', dist.get_world_size()))
    workers = max(1, min(loader.num_workers, cores // ranks))
    # On a CPU the passes take cores from the workers.
    busy = 0 if next(model.parameters()).is_cuda else torch.get_num_threads()
    overlap = loader.num_workers > 0 and cores >= ranks * (workers + busy)
    slowest = torch.tensor([image, compute], dtype=torch.float64)
    dist.all_reduce(slowest, 'max')
    image, compute = slowest.tolist()
    return StepTime(image, len(samples), image * batch_size / workers, compute, workers, overlap)


def _load(dataset, count: int, seed: int) -> tuple[list, float]:
    """Samples spread over the dataset, the same on all ranks, and the seconds for each."""
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:count]
    samples, times = [], []
    for index in chosen:
        start = time.perf_counter()
        samples.append(dataset[EpochIndex(int(index), seed=seed)])
        times.append(time.perf_counter() - start)
        if sum(times) > PATIENCE:
            break
    # The first one loads libraries and tables, too.
    kept = times[1:] or times
    return samples, sum(kept) / len(kept)


def _compute(runner, model: Any, batch) -> float:
    """Seconds of a forward and backward pass in train mode."""
    model.train()
    if hasattr(model, 'set_step'):
        model.set_step(0, 0)
    parameters = [p for p in model.parameters() if p.requires_grad]
    first = _pass(runner, model, batch, parameters)
    longest = torch.tensor(first, dtype=torch.float64)
    dist.all_reduce(longest, 'max')
    # The first pass on a GPU chooses kernels and takes memory. All ranks repeat it, or none does.
    return _pass(runner, model, batch, parameters) if longest < PATIENCE else first


def _pass(runner, model: Any, batch, parameters: list) -> float:
    if parameters[0].is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    with runner.optim_wrapper.optim_context(model):
        data = model.data_preprocessor(batch, True)
        losses = model._run_forward(data, mode='loss')
        loss, _ = model.parse_losses(losses)
    # Not `backward`, which would fill the gradients and call the hooks of a wrapper.
    torch.autograd.grad(loss, parameters, allow_unused=True)
    if parameters[0].is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _cores() -> int:
    affinity = getattr(os, 'sched_getaffinity', None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1

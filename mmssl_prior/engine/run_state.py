"""What a training needs beside its weights to go on as if it had never stopped."""

import platform
import random
from typing import Any

import mmengine
import numpy as np
import torch
from torch import Tensor

from ..version import __version__

__all__ = ['generator_states', 'seed_generators', 'set_generator_states', 'versions']


def seed_generators(*words: int) -> None:
    """Seed the global generators of Python, NumPy and torch from several numbers."""
    seeds = np.random.SeedSequence(words).generate_state(3)
    random.seed(int(seeds[0]))
    np.random.seed(int(seeds[1]))
    torch.manual_seed(int(seeds[2]))


def generator_states() -> dict[str, Any]:
    """States of the global generators, of tensors and plain numbers only.

    So a checkpoint that holds them can be read without trusting it.
    """
    version, python, gauss = random.getstate()
    numpy: Any = np.random.get_state()
    name, words, *rest = numpy
    states: dict[str, Any] = dict(
        python=[version, torch.tensor(python), gauss],
        numpy=[name, torch.from_numpy(words.astype(np.int64)), *rest],
        torch=torch.get_rng_state(),
    )
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states['cuda'] = torch.cuda.get_rng_state()
    return states


def set_generator_states(states: dict[str, Any]) -> None:
    """Put the generators back to :func:`generator_states`."""
    version, python, gauss = states['python']
    random.setstate((version, tuple(python.tolist()), gauss))
    name, words, *rest = states['numpy']
    np.random.set_state((name, words.cpu().numpy().astype(np.uint32), *rest))
    torch.set_rng_state(_on_host(states['torch']))
    if 'cuda' in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(_on_host(states['cuda']))


def _on_host(state: Tensor) -> Tensor:
    # A checkpoint is loaded to the device of the run, where generators do not take their state.
    return state.cpu()


def versions() -> dict[str, str]:
    """Versions of what computes."""
    return dict(
        mmssl_prior=__version__,
        torch=str(torch.__version__),
        numpy=np.__version__,
        mmengine=mmengine.__version__,
        python=platform.python_version(),
    )

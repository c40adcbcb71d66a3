import shutil
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmpretrain.registry import HOOKS
from torch import nn

from ...errors import UserError

__all__ = ['SpeedHook']


@HOOKS.register_module()
class SpeedHook(Hook):
    """Compiled blocks and memory layouts, which change nothing of a training but rounding.

    Names of modules and keys of states stay as they are, so that a run may be
    resumed with and without this hook.

    ``compile`` compiles the blocks of the backbone and of its target network,
    for training; evaluation stays eager, whatever its batches. All blocks
    share a graph, so that a training compiles four (two for each network:
    the last block computes class tokens alone), six with stochastic depth,
    once. Batches must keep their size (``drop_last=True``).

    ``channels_last`` is for convolutional backbones on GPUs with tensor cores,
    together with ``optim_wrapper.dtype='bfloat16'``. The optimizer's moments
    follow, since fused kernels go through memory and not by positions; in
    checkpoints all is contiguous.

    Args:
        compile: True, or arguments of ``torch.compile`` such as
            ``dict(mode='max-autotune-no-cudagraphs')``.
        channels_last: Whether weights of convolutions are stored with
            channels last.

    Raises:
        UserError: Before training, if the backbone has no blocks to compile,
            or on CPU no C++ compiler is found.
    """

    # Before DataSummaryHook, which measures a step.
    priority = 'NORMAL'

    def __init__(self, compile: bool | dict = False, channels_last: bool = False) -> None:
        self.compile = compile
        self.channels_last = channels_last

    def before_train(self, runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for trunk in _trunks(model):
            if self.channels_last:
                trunk.to(memory_format=torch.channels_last)
            if self.compile is not False:
                self._compile(trunk)
        if self.channels_last:
            # Of a run that is resumed.
            for optimizer in _optimizers(runner.optim_wrapper):
                _lay_out(optimizer)

    def before_save_checkpoint(self, runner, checkpoint) -> None:
        if self.channels_last and 'optimizer' in checkpoint:
            checkpoint['optimizer'] = _contiguous(checkpoint['optimizer'])

    def _compile(self, trunk: Any) -> None:
        if not hasattr(trunk, 'compile_blocks'):
            raise UserError(
                f'SpeedHook: {type(trunk).__name__} has no compile_blocks: use MSNViT, or set '
                'compile=False'
            )
        options = {} if self.compile is True else dict(self.compile)  # type: ignore[arg-type]
        on_cpu = next(trunk.parameters()).device.type == 'cpu'
        if on_cpu and 'backend' not in options and shutil.which('g++') is None:
            raise UserError(
                'SpeedHook: compile=True on CPU needs a C++ compiler and finds no g++: install '
                'one, or set compile=False'
            )
        trunk.compile_blocks(**options)


def _optimizers(wrapper: Any) -> list[torch.optim.Optimizer]:
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return [one.optimizer for one in wrappers]


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Give moments the memory format of their parameters."""
    for param, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == param.shape:
                layout = torch.empty_like(param, dtype=value.dtype)
                state[name] = value if value.stride() == layout.stride() else layout.copy_(value)


def _contiguous(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _contiguous(value) for key, value in state.items()}
    return state.contiguous() if isinstance(state, torch.Tensor) else state


def _trunks(model: nn.Module) -> Iterator[nn.Module]:
    for name in ('backbone', 'target_backbone'):
        if isinstance(getattr(model, name, None), nn.Module):
            yield getattr(model, name)

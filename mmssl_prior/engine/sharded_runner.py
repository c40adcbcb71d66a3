from collections.abc import Callable, Mapping
from inspect import signature
from types import MethodType
from typing import Any

import torch
from mmengine import dist
from mmengine.device import get_device
from mmengine.model import convert_sync_batchnorm
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from mmpretrain.registry import RUNNERS
from torch import Tensor, nn

from ..errors import UserError
from ..functional import whole_tensor

__all__ = ['ShardedRunner']

#: Classes of transformer blocks in MMPretrain and timm.
BLOCKS = ('TransformerEncoderLayer', 'Block')
OPTIONS = ('blocks', 'param_dtype')


@RUNNERS.register_module()
class ShardedRunner(Runner):
    r"""MMEngine's ``Runner`` with parameters, gradients and moments divided among the ranks.

    Of W ranks each keeps 1/W of every tensor of the trained and the target
    network (torch's ``fully_shard``, FSDP2); a block's weights are gathered
    when it is run and let go after it. It computes what
    DistributedDataParallel computes: gradients are averages over ranks, and
    the norm that clips them is that of the whole gradient. Buffers, such as
    the statistics of batch normalisation, stay whole on each rank.

    A checkpoint is that of an unsharded run, in names, shapes and types,
    written by rank 0; either run resumes and loads the other's, on any number
    of ranks. To that end rank 0 needs room in host memory for the whole
    model and its moments, one tensor at a time passing through the device.
    Weights are initialised whole on each rank, as without sharding, and
    divided when training begins. Evaluation alone (``val``, ``test``), and a
    process without a launcher, run unsharded.

    Set ``runner_type='mmpretrain.ShardedRunner'``; ``model_wrapper_cfg`` is
    not used then. Options are in the config's ``sharding``::

        sharding = dict(blocks=['TransformerEncoderLayer'], param_dtype='bfloat16')

    ``blocks``: Class names of the modules that are gathered one at a time;
    MMPretrain's and timm's transformer blocks by default. ``param_dtype``:
    ``'bfloat16'`` sends the matrices of the blocks in half the bytes, for a
    forward pass in bfloat16, which rounds them anyway; vectors are sent, and
    gradients averaged, in float32. None, the default, sends what is stored.

    Raises:
        UserError: In training if torch is older than 2.6, no module is of
            ``blocks``, an option is wrong or the optimizer wrapper scales
            losses; or for a model with ``micro_batch``.

    References:
        Zhao et al., PyTorch FSDP: Experiences on Scaling Fully Sharded Data
        Parallel, 2023; Rajbhandari et al., ZeRO, 2020.
    """

    #: Whether parameters are divided by now.
    sharded = False
    _whole: dict[str, Any] | None = None

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Move the model to the device; it is divided once it has its weights."""
        if not self.distributed:
            return super().wrap_model(None, model)
        model = model.to(get_device())
        sync_bn = self.cfg.get('sync_bn')
        return model if sync_bn is None else convert_sync_batchnorm(model, sync_bn)

    def train(self) -> nn.Module:
        """Initialise the whole weights, divide them, and train as MMEngine does."""
        if self.distributed and not self.sharded:
            super()._init_model_weights()
            self._shard(**_checked(self.cfg.get('sharding') or {}))
        return super().train()

    def _init_model_weights(self) -> None:
        if not self.sharded:
            super()._init_model_weights()

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """As MMEngine, for one optimizer without a loss scaler."""
        wrapper = super().build_optim_wrapper(optim_wrapper)
        if not self.sharded:
            return wrapper
        if isinstance(wrapper, OptimWrapperDict) or hasattr(wrapper, 'loss_scaler'):
            raise UserError(
                f'optim_wrapper: ShardedRunner takes one optimizer, without a loss scaler, got '
                f"{type(wrapper).__name__}: set type='GroupClipOptimWrapper', dtype='bfloat16'"
            )
        rounds = self.cfg.get('sharding', {}).get('param_dtype') is not None
        if rounds and getattr(wrapper, '_dtype', None) is not torch.bfloat16:
            raise UserError(
                "sharding.param_dtype='bfloat16' is for a forward pass in bfloat16: set "
                "optim_wrapper.dtype='bfloat16' with GroupClipOptimWrapper, or param_dtype=None"
            )
        return wrapper

    def _shard(self, blocks: Callable[[nn.Module], bool], dtype: torch.dtype | None) -> None:
        try:
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import (
                MixedPrecisionPolicy,
                fully_shard,
                register_fsdp_forward_method,
            )
        except ImportError as error:
            raise UserError(
                f'ShardedRunner needs torch 2.6 or newer, this is {torch.__version__}: update it, '
                'or leave runner_type out to train with DistributedDataParallel'
            ) from error
        model = self.model
        if getattr(model, 'micro_batch', 0):
            raise UserError(
                'model.micro_batch is not for ShardedRunner: set it to 0, and '
                'model.backbone.with_cp=True to save activations'
            )
        mesh = init_device_mesh(get_device(), (dist.get_world_size(),))
        chosen = _outermost(model, blocks)
        if not chosen:
            raise UserError(
                f'sharding.blocks: {type(model).__name__} has no module of that class: name the '
                "class of its blocks, such as sharding=dict(blocks=['Bottleneck']) for a ResNet"
            )
        policy = MixedPrecisionPolicy()
        if dtype is not None:
            if 'param_dtype_override_fn' not in signature(MixedPrecisionPolicy).parameters:
                raise UserError(
                    'sharding.param_dtype needs a newer torch than '
                    f'{torch.__version__}, which rounds vectors too: update it, or leave it out'
                )
            # By name, since not every torch that is checked against knows it.
            spared: dict[str, Any] = dict(
                param_dtype_override_fn=lambda p: p.dtype if p.ndim < 2 else None
            )
            policy = MixedPrecisionPolicy(
                param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False, **spared
            )
        # The root's after its forward pass too: what is called between two steps finds all alike.
        for block in chosen:
            fully_shard(block, mesh=mesh, reshard_after_forward=True, mp_policy=policy)
            # For `MSNViT`, which runs functions of its own on the weights of a block.
            block.run = MethodType(_run, block)  # type: ignore[assignment]
            register_fsdp_forward_method(block, 'run')
        fully_shard(model, mesh=mesh, reshard_after_forward=True)
        if hasattr(model, 'assign'):
            # Called from outside, as `forward` is; what else is called from there takes whole
            # tensors.
            register_fsdp_forward_method(model, 'assign')
        for module in model.modules():
            if module._parameters:
                module.register_load_state_dict_pre_hook(_divide_loaded)
        self.sharded = True
        total = sum(p.numel() for p in model.parameters())
        here = sum(p.to_local().numel() for p in model.parameters())  # type: ignore[operator]
        self.logger.info(
            f'{len(chosen)} blocks and what is around them divided among {mesh.size()} ranks: '
            f'{here / 1e6:.1f} of {total / 1e6:.1f} million parameters on this one'
        )

    # Checkpoints are those of a whole model

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        **kwargs: Any,
    ) -> None:
        """As MMEngine, by rank 0; all ranks have to call it."""
        if self.sharded:
            self._whole = dict(state_dict=_gathered(self.model.state_dict()))
            if save_optimizer:
                assert isinstance(self.optim_wrapper, OptimWrapper)
                self._whole['optimizer'] = _gathered(self.optim_wrapper.state_dict())
        try:
            super().save_checkpoint(out_dir, filename, file_client_args, save_optimizer, **kwargs)
        finally:
            self._whole = None

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """As MMEngine; what hooks see of a checkpoint that is saved is whole."""
        if fn_name == 'before_save_checkpoint' and self._whole is not None:
            # In place, where the versions of the modules stay.
            kwargs['checkpoint']['state_dict'].update(self._whole.pop('state_dict'))
            kwargs['checkpoint'].update(self._whole)
        super().call_hook(fn_name, **kwargs)
        if fn_name == 'after_load_checkpoint' and self.sharded:
            self._divide_moments(kwargs['checkpoint'].get('optimizer') or {})

    def _divide_moments(self, saved: dict) -> None:
        if not isinstance(self.optim_wrapper, OptimWrapper):
            return
        # The state is by the position of a parameter, which is that of the unsharded run.
        groups = self.optim_wrapper.optimizer.param_groups
        params = [param for group in groups for param in group['params']]
        for index, values in saved.get('state', {}).items():
            for name, value in values.items():
                values[name] = _like(value, params[index])

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: str | Callable = 'default',
    ) -> None:
        """As MMEngine, through the host: a device may not have room for the whole."""
        if self.sharded and map_location == 'default':
            map_location = 'cpu'
        super().resume(filename, resume_optimizer, resume_param_scheduler, map_location)


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise UserError(f'sharding: unknown keys {unknown}, expected some of {list(OPTIONS)}')
    names, dtype = options.get('blocks', BLOCKS), options.get('param_dtype')
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise UserError(f'sharding.blocks must be a list of class names, got {names!r}')
    if dtype not in (None, 'bfloat16'):
        raise UserError(f"sharding.param_dtype must be 'bfloat16' or None, got {dtype!r}")
    return dict(
        blocks=lambda module: type(module).__name__ in names,
        dtype=torch.bfloat16 if dtype else None,
    )


def _outermost(model: nn.Module, wanted: Callable[[nn.Module], bool]) -> list[nn.Module]:
    """The wanted modules that are in no other."""
    found: list[nn.Module] = []
    for child in model.children():
        found += [child] if wanted(child) else _outermost(child, wanted)
    return found


def _run(block: nn.Module, function: Callable[..., Tensor], *args: Any) -> Tensor:
    return function(block, *args)


def _like(value: Any, param: Any) -> Any:
    """A whole tensor divided as a parameter is; anything else as it is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(param, DTensor) or not isinstance(value, Tensor):
        return value
    if isinstance(value, DTensor) or value.shape != param.shape:
        return value
    # Every rank has the whole: each takes its own part, without sending anything.
    return distribute_tensor(value, param.device_mesh, param.placements, src_data_rank=None)


def _divide_loaded(module: nn.Module, state_dict: dict, prefix: str, *args: Any) -> None:
    for name, param in module._parameters.items():
        key = prefix + name
        if key in state_dict:
            state_dict[key] = _like(state_dict[key], param)


def _gathered(value: Any) -> Any:
    """A state with whole tensors, on the host of rank 0; all ranks have to call it."""
    if isinstance(value, Tensor):
        value = whole_tensor(value.detach())
        return value.cpu() if dist.is_main_process() else None
    if isinstance(value, Mapping):
        return {key: _gathered(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_gathered(item) for item in value)
    return value

import copy

from mmengine.optim import OptimWrapper
from mmpretrain.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn

from ...errors import UserError

__all__ = ['MSNOptimWrapperConstructor']


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MSNOptimWrapperConstructor:
    """Builds an optimizer with three parameter groups, so that fused kernels are fused.

    ``decay``: weights, class token and position embedding; ``no_decay``:
    biases and one-dimensional parameters, weight decay 0; ``prototypes``:
    weight decay 0 and left out of gradient clipping. Empty groups are left
    out, parameters without gradient (the target network) too. MMEngine's
    default makes one group per parameter as soon as anything differs.

    Args:
        optim_wrapper_cfg: The config of the wrapper with ``optimizer``; its
            ``type`` is ``GroupClipOptimWrapper`` by default.
        paramwise_cfg: Must be empty: this constructor sets the rules.

    Raises:
        ValueError: If paramwise_cfg is given.

    References:
        Groups of the MSN release (facebookresearch/msn).
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        if paramwise_cfg:
            raise UserError(
                'MSNOptimWrapperConstructor takes no paramwise_cfg, got '
                f'{sorted(paramwise_cfg)}: remove it, or use the stock constructor'
            )
        self.optim_wrapper_cfg = copy.deepcopy(optim_wrapper_cfg)
        self.optimizer_cfg = self.optim_wrapper_cfg.pop('optimizer')

    def __call__(self, model: nn.Module) -> OptimWrapper:
        model = getattr(model, 'module', model)
        optimizer_cfg = dict(self.optimizer_cfg, params=_param_groups(model))
        optimizer = OPTIMIZERS.build(optimizer_cfg)
        cfg = dict(type='GroupClipOptimWrapper') | self.optim_wrapper_cfg
        return OPTIM_WRAPPERS.build(cfg, default_args=dict(optimizer=optimizer))


def _param_groups(model: nn.Module) -> list[dict]:
    groups: dict[str, dict] = {
        'decay': dict(params=[]),
        'no_decay': dict(params=[], weight_decay=0.0),
        'prototypes': dict(params=[], weight_decay=0.0, clip_grad=False),
    }
    for name, param in model.named_parameters():
        if not param.requires_grad:
            continue
        last = name.rsplit('.', 1)[-1]
        if last == 'prototypes':
            group = 'prototypes'
        elif last == 'bias' or param.ndim <= 1:
            group = 'no_decay'
        else:
            group = 'decay'
        groups[group]['params'].append(param)
    return [dict(group, name=name) for name, group in groups.items() if group['params']]

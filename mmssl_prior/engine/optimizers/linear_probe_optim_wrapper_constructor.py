import copy

from mmengine.optim import OptimWrapper
from mmpretrain.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn

from ...errors import UserError
from ...models.classifiers import LinearProbe

__all__ = ['LinearProbeOptimWrapperConstructor']


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LinearProbeOptimWrapperConstructor:
    """Builds an optimizer with groups of their own for each head of a :class:`LinearProbe`.

    A head's learning rate is the optimizer's times the head's multiplier.
    Weights and biases are decayed, as VISSL does; the parameters of a head's
    norm only with ``regularize_bn=True``, which is VISSL's own switch, off by
    default and on in its recipes for vision transformers.

    Args:
        optim_wrapper_cfg: The config of the wrapper with ``optimizer``, of
            which ``lr`` is named.
        paramwise_cfg: May hold ``regularize_bn``.

    Raises:
        UserError: For another key, without ``lr``, or for another model.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        paramwise_cfg = dict(paramwise_cfg or {})
        self.regularize_bn = bool(paramwise_cfg.pop('regularize_bn', False))
        if paramwise_cfg:
            raise UserError(
                'LinearProbeOptimWrapperConstructor: paramwise_cfg may hold regularize_bn, got '
                f'{sorted(paramwise_cfg)}'
            )
        self.optim_wrapper_cfg = copy.deepcopy(optim_wrapper_cfg)
        self.optimizer_cfg = self.optim_wrapper_cfg.pop('optimizer')
        if 'lr' not in self.optimizer_cfg:
            raise UserError('LinearProbeOptimWrapperConstructor: optimizer has no lr')

    def __call__(self, model: nn.Module) -> OptimWrapper:
        model = getattr(model, 'module', model)
        if not isinstance(model, LinearProbe):
            raise UserError(
                'LinearProbeOptimWrapperConstructor is for a LinearProbe, got a '
                f'{type(model).__name__}'
            )
        cfg = self.optimizer_cfg
        groups = model.heads.param_groups(
            cfg['lr'], cfg.get('weight_decay', 0.0), self.regularize_bn
        )
        optimizer = OPTIMIZERS.build(dict(cfg, params=groups))
        wrapper = dict(type='OptimWrapper') | self.optim_wrapper_cfg
        return OPTIM_WRAPPERS.build(wrapper, default_args=dict(optimizer=optimizer))

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmpretrain.registry import OPTIM_WRAPPERS

from ...errors import UserError

__all__ = ['GroupClipAmpOptimWrapper', 'GroupClipOptimWrapper']


@OPTIM_WRAPPERS.register_module()
class GroupClipOptimWrapper(OptimWrapper):
    """MMEngine's OptimWrapper, where ``clip_grad`` spares groups marked ``clip_grad=False``.

    The stock wrapper clips every parameter; MSN as released clips the encoder
    only and leaves the prototypes out. A gradient norm that is not finite
    raises ``UserError`` before the optimizer step.

    Args:
        **kwargs: Those of ``mmengine.optim.OptimWrapper``.
    """

    def _clip_grad(self) -> None:
        params = [
            p
            for group in self.optimizer.param_groups
            if group.get('clip_grad', True)
            for p in group['params']
            if p.requires_grad and p.grad is not None
        ]
        if not params:
            return
        norm = self.clip_func(params, **self.clip_grad_kwargs)
        if norm is None:  # clipping by value has no norm
            return
        # With a loss scaler an overflow is expected now and then, and the scaler skips the step.
        if not hasattr(self, 'loss_scaler') and not torch.isfinite(norm):
            raise UserError(
                f'the gradient norm is {float(norm)} although the loss is finite; the '
                'weights were left as they were and the last checkpoint is good: lower '
                'the learning rate or lengthen its warm-up'
            )
        self.message_hub.update_scalar(f'train/{self.grad_name}', float(norm))


@OPTIM_WRAPPERS.register_module()
class GroupClipAmpOptimWrapper(GroupClipOptimWrapper, AmpOptimWrapper):
    """:class:`GroupClipOptimWrapper` with mixed precision, as MMEngine's AmpOptimWrapper.

    Args:
        **kwargs: Those of ``mmengine.optim.AmpOptimWrapper``.
    """

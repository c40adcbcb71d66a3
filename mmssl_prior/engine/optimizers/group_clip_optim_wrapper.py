import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmpretrain.registry import OPTIM_WRAPPERS

from ...errors import UserError

__all__ = ['GroupClipAmpOptimWrapper', 'GroupClipOptimWrapper']


@OPTIM_WRAPPERS.register_module()
class GroupClipOptimWrapper(OptimWrapper):
    """MMEngine's OptimWrapper, where ``clip_grad`` spares groups marked ``clip_grad=False``.

    The stock wrapper clips every parameter; MSN as released clips the encoder
    only and leaves the prototypes out. With ``clip_grad=dict(max_norm=...)`` a
    gradient that is not finite raises ``UserError`` before the optimizer step.

    Args:
        **kwargs: Those of ``mmengine.optim.OptimWrapper``.
    """

    def _clip_grad(self) -> None:
        clipped: list[torch.Tensor] = []
        spared: list[torch.Tensor] = []
        for group in self.optimizer.param_groups:
            params = [p for p in group['params'] if p.grad is not None]
            if group.get('clip_grad', True):
                clipped += params
            else:
                spared += [p.grad for p in params]
        if not clipped:
            return
        norm = self.clip_func(clipped, **self.clip_grad_kwargs)
        if norm is None:  # clipping by value has no norm
            return
        # With a loss scaler an overflow is expected now and then, and the scaler skips the step.
        if not hasattr(self, 'loss_scaler'):
            finite = torch.stack([norm.isfinite(), *(g.isfinite().all() for g in spared)])
            if not finite.all():
                raise UserError(
                    f'a gradient is not finite (norm {float(norm):g}) although the loss is; the '
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

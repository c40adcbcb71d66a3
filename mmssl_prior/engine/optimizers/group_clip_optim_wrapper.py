from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmpretrain.registry import OPTIM_WRAPPERS
from torch import Tensor, nn

from ...errors import UserError
from ...functional import all_reduce_sum, whole_tensor

__all__ = ['GroupClipAmpOptimWrapper', 'GroupClipOptimWrapper', 'gradient_not_finite']


def gradient_not_finite(norm: float | None, where: str = '') -> UserError:
    """The error of a gradient that is not finite; ``where`` may name the iteration."""
    size = '' if norm is None else f' (norm {norm:g})'
    return UserError(
        f'a gradient is not finite{where}{size} although the loss is; the weights were left as '
        'they were and the last checkpoint is good: lower the learning rate or lengthen its '
        'warm-up'
    )


@OPTIM_WRAPPERS.register_module()
class GroupClipOptimWrapper(OptimWrapper):
    """MMEngine's OptimWrapper: clipping that spares groups, bfloat16, and no waiting for the GPU.

    ``clip_grad`` spares groups marked ``clip_grad=False``. The stock wrapper
    clips every parameter; MSN as released clips the encoder only and leaves
    the prototypes out. With ``clip_grad=dict(max_norm=...)`` a gradient that
    is not finite raises ``UserError`` before the optimizer step.

    ``dtype='bfloat16'`` runs the forward pass under autocast, on CPU too,
    where MMEngine's AmpOptimWrapper refuses; parameters, gradients, optimizer
    and losses stay in float32, and nothing is scaled.

    :class:`DeferredRuntimeInfoHook` calls :meth:`defer`. Then whether losses
    and gradients are finite is kept on the device, in :attr:`withheld`: 1 from
    the first iteration on that was not. An optimizer with torch's fused
    kernels, or :class:`LayerwiseSGD`, reads it there and leaves weights and
    moments alone; with any other the wrapper reads it before each step, as a
    host must. The gradient norm waits in :attr:`scalars` for the hook.

    ``skip_nonfinite=n`` skips up to n steps of a training in this way, on all
    ranks alike, and clears :attr:`withheld` after each; the hook warns of each
    and counts them, also across resumes. What a skipped step has written into
    the model's buffers (running statistics, queues) is taken back; learning
    rate, momentum of the target and iteration go on. Costs a copy of the
    buffers in each step, and between ranks a sum of one number. A loss scaler
    has a rule of its own for such steps.

    Args:
        dtype: ``'bfloat16'``, or None for the precision of the parameters.
        skip_nonfinite: Number of steps to skip before the training ends with
            an error; 0 ends it with the first.
        **kwargs: Those of ``mmengine.optim.OptimWrapper``.

    Raises:
        UserError: For another dtype, a negative number, or steps to skip
            where the hook is missing.
    """

    #: Whether checks and the norm wait for the hook.
    deferred = False
    #: 1 where this step's loss or gradient is not finite, and from the step on that is one too
    #: many; a scalar on the parameters' device.
    withheld: Tensor | None = None
    #: Steps skipped before this one, a scalar on the device.
    skipped: Tensor | None = None
    skip_nonfinite = 0
    # The model's buffers with their values before the step.
    _before: list[tuple[Tensor, Tensor]] | None = None
    _dtype: torch.dtype | None = None

    def __init__(self, dtype: str | None = None, skip_nonfinite: int = 0, **kwargs) -> None:
        if dtype not in (None, 'bfloat16'):
            raise UserError(
                f"optim_wrapper: dtype must be 'bfloat16' or None, got {dtype!r}: float16 needs "
                "the loss scaler of type='GroupClipAmpOptimWrapper', on a GPU"
            )
        if type(skip_nonfinite) is not int or skip_nonfinite < 0:
            raise UserError(
                'optim_wrapper: skip_nonfinite must be an integer >= 0, the number of steps that '
                f'may be skipped, got {skip_nonfinite!r}'
            )
        super().__init__(**kwargs)
        self.skip_nonfinite = skip_nonfinite
        self._dtype = torch.bfloat16 if dtype else None

    def defer(self, deferred: bool = True, skipped: int = 0) -> bool:
        """Keep checks on the device, or not.

        Args:
            deferred: Whether to.
            skipped: Steps that the training has skipped so far.

        Returns:
            Whether updates are withheld in this way: not where a loss scaler
            has a rule of its own for gradients that are not finite.
        """
        self.deferred = deferred
        self.scalars: dict[str, Tensor] = {}
        self.withheld = self.skipped = self._before = None
        if hasattr(self.optimizer, 'found_inf'):
            del self.optimizer.found_inf
        if not deferred or hasattr(self, 'loss_scaler'):
            return False
        device = self.optimizer.param_groups[0]['params'][0].device
        self.withheld = torch.zeros((), dtype=torch.float32, device=device)
        self.skipped = torch.full((), float(skipped), device=device)
        if self._on_device:
            self.optimizer.found_inf = self.withheld
        return True

    @property
    def _on_device(self) -> bool:
        """Whether the optimizer reads ``found_inf`` itself, as those for torch's GradScaler do."""
        names = ('_step_supports_amp_scaling', 'withholds_on_device')
        return any(getattr(self.optimizer, name, False) for name in names)

    @property
    def withheld_step(self) -> Tensor | None:
        """0 where the update is made, otherwise which of those withheld it is: 1, 2, ..."""
        if self.withheld is None or self.skipped is None or not self.skip_nonfinite:
            return self.withheld
        return self.withheld * (self.skipped + self.withheld)

    def _begin_step(self, model: nn.Module) -> None:
        """Count the step before, if it was skipped, and keep what this one may spoil."""
        # Gradients that are accumulated make one step.
        if self.withheld is None or self.skipped is None or self._before is not None:
            return
        self.skipped += self.withheld
        self.withheld.copy_(self.skipped > self.skip_nonfinite)
        self._before = [(buffer, buffer.clone()) for buffer in model.buffers()]

    def _end_step(self) -> None:
        """Take back what a skipped step has written into buffers."""
        assert self.withheld is not None
        for buffer, value in self._before or ():
            buffer.copy_(torch.where(self.withheld > 0, value, buffer))
        self._before = None

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        # Whoever only looks at the model has no step.
        if self.skip_nonfinite and torch.is_grad_enabled():
            self._begin_step(model)
        device = self.optimizer.param_groups[0]['params'][0].device.type
        with super().optim_context(model):
            if self._dtype is None:
                yield
            else:
                with torch.autocast(device, dtype=self._dtype):
                    yield

    def update_params(self, loss: Tensor, *args, **kwargs) -> None:
        if self.skip_nonfinite and self.withheld is None:
            raise UserError(
                'optim_wrapper.skip_nonfinite needs '
                "default_hooks.runtime_info=dict(type='DeferredRuntimeInfoHook'), which counts"
            )
        if self.withheld is not None:
            self._withhold_unless(loss.detach().isfinite())
        super().update_params(loss, *args, **kwargs)

    def step(self, **kwargs) -> None:
        if self.withheld is None:
            super().step(**kwargs)
            return
        if self.clip_grad_kwargs:
            self._clip_grad()
        else:
            self._withhold_unless(_all_finite(self._grads()[0] + self._grads()[1]))
        if self.skip_nonfinite:
            # A loss may be infinite on one rank with gradients that are finite.
            self.withheld.copy_(all_reduce_sum(self.withheld).clamp(max=1))
        if self._on_device or not self.withheld:
            self.optimizer.step(**kwargs)
        if self.skip_nonfinite:
            self._end_step()

    def _withhold_unless(self, finite: Tensor) -> None:
        assert self.withheld is not None
        self.withheld.copy_(torch.maximum(self.withheld, (~finite).to(self.withheld)))

    def _grads(self) -> tuple[list[Tensor], list[Tensor]]:
        """Parameters that are clipped and those that are spared, as far as they have gradients."""
        clipped: list[Tensor] = []
        spared: list[Tensor] = []
        for group in self.optimizer.param_groups:
            params = [p for p in group['params'] if p.grad is not None]
            (clipped if group.get('clip_grad', True) else spared).extend(params)
        return clipped, spared

    def _clip_grad(self) -> None:
        clipped, spared = self._grads()
        if not clipped:
            return
        norm = self.clip_func(clipped, **self.clip_grad_kwargs)
        if norm is not None:
            norm = whole_tensor(norm)
        # Clipping by value has no norm, and hides what is infinite.
        finite = _all_finite(clipped if norm is None else spared)
        finite = finite if norm is None else finite & norm.isfinite()
        if self.withheld is not None:
            self._withhold_unless(finite)
        # With a loss scaler an overflow is expected now and then, and the scaler skips the step.
        elif norm is not None and not hasattr(self, 'loss_scaler') and not finite:
            raise gradient_not_finite(float(norm))
        if norm is None:
            return
        if self.deferred:
            self.scalars[self.grad_name] = norm.detach()
        else:
            self.message_hub.update_scalar(f'train/{self.grad_name}', float(norm))


@OPTIM_WRAPPERS.register_module()
class GroupClipAmpOptimWrapper(GroupClipOptimWrapper, AmpOptimWrapper):
    """:class:`GroupClipOptimWrapper` with mixed precision, as MMEngine's AmpOptimWrapper.

    Its loss scaler is what float16 needs. For bfloat16 there is
    ``GroupClipOptimWrapper(dtype='bfloat16')``, which scales nothing.

    Args:
        **kwargs: Those of ``mmengine.optim.AmpOptimWrapper``.
    """

    def __init__(self, **kwargs) -> None:
        # Its dtype is not the parent's.
        AmpOptimWrapper.__init__(self, **kwargs)


def _all_finite(params: list[Tensor]) -> Tensor:
    """Whether all gradients are finite, a bool on their device: one norm of each, fused."""
    grads = [p.grad for p in params if p.grad is not None]
    if not grads:
        return torch.tensor(True)
    # A float32 norm overflows to infinity from finite values only where training is lost as well.
    return whole_tensor(torch.stack(torch._foreach_norm(grads))).isfinite().all()

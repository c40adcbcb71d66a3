import math

from mmengine import dist
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmpretrain.registry import HOOKS

from ...errors import UserError

__all__ = ['TargetNetworkHook', 'ema_momentum']


def ema_momentum(progress: float, start: float, end: float, schedule: str) -> float:
    r"""Momentum of the target network after a share of the schedule.

    .. math::
        \text{linear: } m(x) = m_0 + (m_1 - m_0) x, \qquad
        \text{cosine: } m(x) = m_1 - (m_1 - m_0) \frac{1 + \cos \pi x}{2}

    Args:
        progress: x in [0, 1].
        start: m_0.
        end: m_1.
        schedule: ``'linear'`` or ``'cosine'``.

    Example:
        >>> round(ema_momentum(0.8, 0.996, 1.0, 'linear'), 6)
        0.9992
    """
    if schedule == 'cosine':
        progress = (1 - math.cos(math.pi * progress)) / 2
    return start + (end - start) * progress


@HOOKS.register_module()
class TargetNetworkHook(Hook):
    r"""Start, step and update of a model's target network.

    Before training that starts at iteration 0, after weights were initialised
    or loaded, the target becomes a copy of the trained network; a resumed
    target is kept. Before each iteration the model learns ``(seed,
    iteration)``. After each optimizer step (also with gradient accumulation:
    only then) the target moves with momentum m(i / (stretch * I)) for
    iteration i of I, counted from 0.

    The default is the schedule of the MSN release: linear from 0.996 towards
    1 over 1.25 times the training, so that it ends at 0.9992.

    Args:
        momentum: m_0.
        end_momentum: m_1.
        schedule: ``'linear'`` or ``'cosine'``.
        stretch: Length of the schedule in units of the training's length.

    Raises:
        ValueError: For an unknown schedule, a momentum outside [0, 1] or a
            stretch below 1.
        UserError: If the model has no target network.
    """

    # After the optimizer step and before hooks that evaluate or save the target.
    priority = 'VERY_HIGH'

    def __init__(
        self,
        momentum: float = 0.996,
        end_momentum: float = 1.0,
        schedule: str = 'linear',
        stretch: float = 1.25,
    ) -> None:
        if schedule not in ('linear', 'cosine'):
            raise UserError(f"schedule must be 'linear' or 'cosine', got {schedule!r}")
        for name, value in (('momentum', momentum), ('end_momentum', end_momentum)):
            if not 0 <= value <= 1:
                raise UserError(f'{name} must be in [0, 1], got {value}')
        if not stretch >= 1:
            raise UserError(f'stretch must be at least 1, got {stretch}')
        self.momentum = momentum
        self.end_momentum = end_momentum
        self.schedule = schedule
        self.stretch = stretch
        self._seed = 0

    @staticmethod
    def _model(runner):
        return runner.model.module if is_model_wrapper(runner.model) else runner.model

    def before_train(self, runner) -> None:
        model = self._model(runner)
        for method in ('sync_target', 'set_step', 'update_target'):
            if not hasattr(model, method):
                raise UserError(
                    f'TargetNetworkHook needs a model with a target network such as '
                    f'MSN, {type(model).__name__} has no {method}: remove the hook'
                )
        if runner.iter == 0:
            model.sync_target()
        # With diff_rank_seed each rank has a seed of its own; patches are drawn for all ranks.
        seed = [runner.seed]
        dist.broadcast_object_list(seed)
        self._seed = seed[0]

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self._model(runner).set_step(self._seed, runner.iter)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if not runner.optim_wrapper.should_update():
            return
        progress = min(runner.iter / (self.stretch * runner.max_iters), 1.0)
        momentum = ema_momentum(progress, self.momentum, self.end_momentum, self.schedule)
        # On the device: 1 where the optimizer step was withheld too.
        withheld = getattr(runner.optim_wrapper, 'withheld', None)
        self._model(runner).update_target(
            momentum, **({} if withheld is None else dict(withheld=withheld))
        )
        runner.message_hub.update_scalar('train/target_momentum', momentum)

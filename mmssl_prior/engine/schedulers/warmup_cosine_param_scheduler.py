import math

from mmengine.optim import _ParamScheduler
from mmpretrain.registry import PARAM_SCHEDULERS

from ...errors import UserError

__all__ = ['WarmupCosineParamScheduler', 'warmup_cosine']

INF = int(1e9)  # MMEngine's mark of a schedule without end
# What the length of the training decides: a checkpoint has it of the training that wrote it.
LENGTHS = ('begin', 'end', 'longest_warmup', 'max_warmup_share', 'stretch', 'warmup', 'period')


def warmup_cosine(
    step: int, base: float, final: float, start_factor: float, warmup: float, period: float
) -> float:
    r"""Linear warm-up, then half a cosine.

    .. math::
        v(t) = \begin{cases}
            v_0 (s + (1 - s) t / w) & t < w \\
            v_1 + (v_0 - v_1) \frac{1 + \cos(\pi (t - w) / (T - w))}{2} & w \le t \le T
        \end{cases}

    Args:
        step: t.
        base: v_0, reached at the end of the warm-up.
        final: v_1, reached at T.
        start_factor: s.
        warmup: w.
        period: T > w.

    Example:
        >>> [warmup_cosine(t, 1.0, 0.0, 0.5, 2, 4) for t in (0, 1, 2, 3)]
        [0.5, 0.75, 1.0, 0.5]
    """
    if step < warmup:
        return base * (start_factor + (1 - start_factor) * step / warmup)
    angle = math.pi * min((step - warmup) / (period - warmup), 1.0)
    return final + (base - final) * (1 + math.cos(angle)) / 2


@PARAM_SCHEDULERS.register_module()
class WarmupCosineParamScheduler(_ParamScheduler):
    r"""The schedules of the MSN release for a training of any length.

    Warm-up and cosine of :func:`warmup_cosine` over the length L = end - begin
    that the Runner fills in from the train loop, with w = min(warmup,
    max_warmup_share * L) and T = stretch * L. So nothing has to be computed
    from the number of epochs, and the warm-up of a short training ends before
    the training does. For the release's 800 epochs of learning rate it is
    LinearLR and CosineAnnealingLR of MMEngine in one.

    A group whose value is 0, such as the weight decay of biases, stays at 0.

    A resumed schedule goes on from the step where it was, over the length
    that it is built with: of another number of epochs, or of steps per epoch.
    MMEngine's own schedules keep that of the checkpoint.

    Args:
        optimizer: Optimizer or wrapper; the Runner passes it.
        param_name: ``'lr'`` or ``'weight_decay'``.
        eta_min: v_1; may be above the first value, as for weight decay.
        eta_min_ratio: v_1 / v_0, to be given in its place.
        warmup: Length of the warm-up in epochs (in iterations with
            ``by_epoch=False``).
        max_warmup_share: Largest share of the training that is warm-up.
        start_factor: s, where the warm-up starts.
        stretch: T / L >= 1. The release has 1.25, so that training ends before
            the cosine does.
        begin: First epoch.
        end: End; the Runner fills in that of the training.
        last_step: As in MMEngine.
        by_epoch: As in MMEngine; with ``convert_to_iter_based=True`` the
            values change with each iteration.
        verbose: As in MMEngine.

    Raises:
        UserError: If an argument is out of range.
    """

    begin: int
    end: int

    def __init__(
        self,
        optimizer,
        param_name: str,
        eta_min: float | None = None,
        warmup: float = 0,
        max_warmup_share: float = 0.1,
        start_factor: float = 0.2,
        stretch: float = 1.25,
        begin: int = 0,
        end: int = INF,
        last_step: int = -1,
        by_epoch: bool = True,
        verbose: bool = False,
        eta_min_ratio: float | None = None,
    ) -> None:
        if (eta_min is None) == (eta_min_ratio is None):
            raise UserError(
                f'WarmupCosineParamScheduler takes eta_min or eta_min_ratio, got {eta_min} and '
                f'{eta_min_ratio}'
            )
        if not warmup >= 0:
            raise UserError(f'warmup must be at least 0, got {warmup}')
        for name, value in dict(
            max_warmup_share=max_warmup_share, start_factor=start_factor
        ).items():
            if not 0 <= value < 1:
                raise UserError(f'{name} must be in [0, 1), got {value}')
        if not stretch >= 1:
            raise UserError(f'stretch must be at least 1, got {stretch}')
        self.eta_min = eta_min
        self.eta_min_ratio = eta_min_ratio
        self.start_factor = start_factor
        self.longest_warmup = warmup
        self.max_warmup_share = max_warmup_share
        self.stretch = stretch
        self._set_length(end - begin)
        super().__init__(optimizer, param_name, begin, end, last_step, by_epoch, verbose)

    @classmethod
    def build_iter_from_epoch(
        cls, *args, warmup=0, begin=0, end=INF, by_epoch=True, epoch_length=None, **kwargs
    ):
        """The same by iterations."""
        assert by_epoch, 'only a schedule by epochs can be converted'
        assert epoch_length is not None and epoch_length > 0
        kwargs.update(
            warmup=warmup * epoch_length,
            begin=int(begin * epoch_length),
            end=end if end == INF else int(end * epoch_length),
            by_epoch=False,
        )
        return cls(*args, **kwargs)

    def load_state_dict(self, state_dict: dict) -> None:
        """Take up the position of another schedule; the length stays."""
        built = {name: getattr(self, name) for name in LENGTHS}
        super().load_state_dict(state_dict)
        done = self.end
        self.__dict__.update(built)
        self._go_on(done)

    def set_end(self, end: int) -> None:
        """Another end, in the middle of training."""
        done, self.end = self.end, end
        self._set_length(end - self.begin)
        self._go_on(done)

    def _set_length(self, length: float) -> None:
        self.warmup = min(self.longest_warmup, self.max_warmup_share * length)
        self.period = self.stretch * length

    def _go_on(self, done: int) -> None:
        """The value of the present step, of a schedule that ended at ``done`` before."""
        step = self._global_step
        if not self.begin <= step < self.end:
            return
        # A schedule that had ended did not count the steps since.
        self.last_step += max(step - (done - 1), 0)
        for group, value in zip(self.optimizer.param_groups, self._get_value()):
            group[self.param_name] = value

    def _get_value(self) -> list[float]:
        return [
            base
            and warmup_cosine(
                self.last_step, base, self._final(base), self.start_factor, self.warmup, self.period
            )
            for base in self.base_values
        ]

    def _final(self, base: float) -> float:
        if self.eta_min is not None:
            return self.eta_min
        assert self.eta_min_ratio is not None
        return base * self.eta_min_ratio

"""Watching a training for collapse."""

from collections import deque
from itertools import islice
from statistics import median
from typing import Any

import torch
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmpretrain.models.selfsup import BaseSelfSupervisor
from mmpretrain.registry import HOOKS
from torch import Tensor

from ...errors import UserError
from ...evaluation.features import pooled
from ...functional import gather_rows, whole_tensor
from ...insight import (
    HealthRecord,
    PredictionSums,
    draw_health,
    find_failures,
    measure_features,
    measure_prototypes,
    measure_usage,
    relative_distance,
    scalars,
    sum_predictions,
    total_norm,
)
from ...insight.health import PATIENCE
from ..step_probe import untouched

__all__ = ['CollapseMonitorHook']

CHUNK = 128  # images that pass the network at a time
#: Under a uniform prior exp(-4) = 2 % of the prototypes go unseen in as many images.
IMAGES_PER_PROTOTYPE = 4
GRADIENTS = 100  # iterations over which the norm of the gradient is a median


@HOOKS.register_module()
class CollapseMonitorHook(Hook):
    r"""Measure features and prototypes during pretraining, and say when a run collapses.

    At each interval and after the last iteration the first view of the
    batch's images passes the network that the model evaluates (``mode='tensor'``,
    and ``assign`` of models with prototypes), in eval mode. That leaves no
    trace: weights, buffers and generators are what they are without this hook,
    to the bit. The numbers are those of the images of all ranks together.

    The usage of the prototypes is summed over this and earlier records: as
    many as make four images for each prototype, ``window`` at most. With
    fewer images compare ``prototypes_used`` with ``prototypes_expected``,
    which is what as many images would use by chance.

    Numbers go to the visualizer as ``health/<name>``, pictures as
    ``health``. A known failure is told once, as a warning with what to try, if
    three records in a row show it; not in the first 5 % of the training, but
    for numbers that run away. ``docs/collapse.md`` explains all of them.

    A model that is no ``BaseSelfSupervisor`` of MMPretrain (a classifier, a
    linear probe) is not measured; one whose features are neither pooled nor a
    map is not either, which is told.

    Args:
        interval: Iterations between records, or epochs.
        by_epoch: Whether the interval is in epochs; records are then made
            after the last iteration of an epoch.
        images: Images of a record, over all ranks; those of the batch at most.
        window: Records over which usage is summed, at most.
        figure_interval: Records between pictures; 0 draws none. The last
            record has one, too.

    Raises:
        UserError: If a number is out of range.
    """

    # Behind those that update the target network and log the loss; before the timer, so that the
    # time is the step's and not that of waiting for data.
    priority = 'ABOVE_NORMAL'

    def __init__(
        self,
        interval: int = 100,
        by_epoch: bool = False,
        images: int = 1024,
        window: int = 10,
        figure_interval: int = 10,
    ) -> None:
        least = dict(interval=1, images=2, window=1, figure_interval=0)
        given = dict(
            interval=interval, images=images, window=window, figure_interval=figure_interval
        )
        for name, value in given.items():
            if not (isinstance(value, int) and value >= least[name]):
                raise UserError(
                    f'CollapseMonitorHook: {name} must be an integer >= {least[name]}, '
                    f'got {value!r}'
                )
        self.interval = interval
        self.by_epoch = by_epoch
        self.images = images
        self.figure_interval = figure_interval
        #: The last records, as many as the detectors look at.
        self.records: deque[HealthRecord] = deque(maxlen=PATIENCE + 1)
        #: Warnings that were given, by the names of the failures.
        self.warned: dict[str, str] = {}
        self._predictions: deque[PredictionSums] = deque(maxlen=window)
        self._count = 0
        self._unable = False

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        last = self.is_last_train_iter(runner)
        if not isinstance(model, BaseSelfSupervisor) or not (last or self._due(runner, batch_idx)):
            return
        if self._unable:
            return
        try:
            record = self._measure(runner, model, data_batch, outputs or {})
        except UserError as error:
            # On all ranks alike. A training need not stop because it cannot be watched.
            self._unable = True
            runner.logger.warning(f'this training is not watched for collapse: {error}')
            return
        self.records.append(record)
        values = scalars(record) | {'iter': record.iteration}
        if runner.log_processor.by_epoch:
            values['epoch'] = runner.epoch + 1
        runner.visualizer.add_scalars(values, step=record.iteration)
        self._count += 1
        if self.figure_interval and (last or self._count % self.figure_interval == 0):
            if dist.is_main_process():
                runner.visualizer.add_image('health', draw_health(record), step=record.iteration)
        for name, message in find_failures(list(self.records)).items():
            if name not in self.warned:
                self.warned[name] = message
                runner.logger.warning(f'{message} (docs/collapse.md, {name})')

    def _due(self, runner, batch_idx: int) -> bool:
        if not self.by_epoch:
            return self.every_n_train_iters(runner, self.interval)
        end = self.end_of_epoch(runner.train_dataloader, batch_idx)
        return end and self.every_n_epochs(runner, self.interval)

    @torch.no_grad()
    def _measure(self, runner, model, data_batch, outputs: dict[str, Any]) -> HealthRecord:
        features, log_probs = self._run(runner, model, data_batch)
        features = gather_rows(features)[0]
        trained = [p.detach() for p in model.parameters() if p.requires_grad]
        scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
        prototypes = {}
        if log_probs is not None:
            head = model.head
            log_prior = head.matched_log_prior
            predictions = sum_predictions(log_probs)
            prototypes = dict(
                predictions=predictions,
                usage=measure_usage(self._window(predictions), log_prior),
                prototypes=measure_prototypes(whole_tensor(head.prototypes), head.temperature),
                log_prior=log_prior,
            )
        return HealthRecord(
            iteration=runner.iter + 1,
            progress=(runner.iter + 1) / runner.max_iters,
            images=len(features),
            features=measure_features(features),
            loss=float(outputs.get('loss', float('nan'))),
            weight_norm=total_norm(trained),
            grad_norm=_median(runner.message_hub, 'train/grad_norm'),
            loss_scale=float(scaler.get_scale()) if scaler is not None else None,
            ema_distance=_ema_distance(model),
            **prototypes,
        )

    def _run(self, runner, model, data_batch) -> tuple[Tensor, Tensor | None]:
        """Features and log-predictions of this rank's images, as in evaluation."""
        limit = -(-self.images // dist.get_world_size())
        assign = getattr(model, 'assign', None)
        features, log_probs = [], []
        with untouched(model):
            model.eval()
            images = _first_view(model.data_preprocessor(data_batch, False)['inputs'])
            # In the precision of the training, and so at its speed.
            with runner.optim_wrapper.optim_context(runner.model):
                for part in images[:limit].split(CHUNK):
                    features.append(pooled(model(part, mode='tensor'), 'CollapseMonitorHook'))
                    if assign is not None:
                        log_probs.append(assign(part))
        return torch.cat(features).float(), torch.cat(log_probs) if log_probs else None

    def _window(self, predictions: PredictionSums) -> list[PredictionSums]:
        """The newest records that make enough images, oldest first."""
        self._predictions.append(predictions)
        enough = IMAGES_PER_PROTOTYPE * len(predictions.mass)
        kept: list[PredictionSums] = []
        for earlier in reversed(self._predictions):
            if kept and sum(sums.images for sums in kept) >= enough:
                break
            kept.append(earlier)
        return kept[::-1]


def _first_view(inputs) -> Tensor:
    """Images of shape (B, C, H, W): the first of several views, which is what is evaluated."""
    if isinstance(inputs, (list, tuple)):
        return inputs[0] if inputs[0].ndim == 4 else torch.stack(tuple(inputs))
    return inputs


def _ema_distance(model) -> float | None:
    """Of the networks called ``target_<name>`` from those called ``<name>``."""
    targets: list[Tensor] = []
    trained: list[Tensor] = []
    for name, target in model.named_children():
        source = getattr(model, name.removeprefix('target_'), None)
        if name.startswith('target_') and source is not None:
            targets += target.parameters()
            trained += source.parameters()
    return relative_distance(targets, trained) if targets else None


def _median(hub, name: str) -> float | None:
    """Median of the last values of a scalar in the message hub, which may lag behind."""
    buffer = hub.log_scalars.get(name)
    if buffer is None:
        return None
    values = [float(value) for value in islice(reversed(buffer.data[0]), GRADIENTS)]
    return median(values) if values else None

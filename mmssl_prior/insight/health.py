"""Known failures of a training, told from a few records of its measures.

A detector takes the records so far, oldest first, and returns what it found
in plain words with what to try, or None. ``docs/collapse.md`` explains each.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from .health_measures import (
    FeatureMeasures,
    PredictionSums,
    PrototypeMeasures,
    UsageMeasures,
    measure_usage,
)

__all__ = ['DETECTORS', 'HealthRecord', 'find_failures', 'scalars']

#: Records in a row that must show a failure: one batch may be odd, three that are far apart not.
PATIENCE = 3
#: Share of the training before which only numbers that run away count: 15 of 300 epochs, the
#: warm-up of MSN's release. Before, networks were seen that had not taken off and then learned.
START = 0.05
#: Iterations before which likewise nothing else counts. Untrained networks prefer a few prototypes,
#: and give each its images within some dozen steps.
FIRST = 100
#: Share of the prototypes that chance would use, below which a run has collapsed onto few. Runs
#: that learn had 0.1 to 0.2 in the first steps, and soon 0.5 and more.
FEW = 0.05
#: Nats between usage and prior, from which usage is not the prior's. Runs that learn are below
#: 0.3 from the first step on, of a steep prior too after some dozen steps; collapse is log K.
FAR = 1.0
#: Nats that an image tells of its prototype, below which all predictions are the same. Runs that
#: learn were never below 0.08, but for a network whose batch normalisation has no statistics yet.
NOTHING = 0.01
#: Share of the prototypes that are distinct. Drawn at random at width 64 or more none are twins
#: (nearest neighbours at cosines of 0.2 to 0.4); one in ten is no accident.
DISTINCT = 0.9
#: Share of the prototypes that chance would use, below which the rest counts as dead; see FEW.
DEAD = 0.1
#: Spread of the features' directions. Small networks were seen at 0.4 to 0.8, trained or not, an
#: untrained ResNet-50 at 0.04; rounding to bfloat16 alone makes 0.004.
NO_SPREAD = 0.01
#: RankMe: one direction holds nearly all of the singular values' sum. An untrained ResNet-50 was
#: seen at 2.6.
ONE_DIRECTION = 1.2
#: Growth of a gradient or of features over PATIENCE + 1 records, by a rise in each of them.
RUNAWAY = 10.0
#: Likewise of the weights, which a healthy training changes slowly.
RUNAWAY_WEIGHTS = 2.0
#: A loss scaler starts at 65536 and halves at each overflow: here it helps no more.
LOSS_SCALE = 1.0


@dataclass(frozen=True)
class HealthRecord:
    """What was measured after an iteration.

    Args:
        iteration: Counted from 1.
        progress: Share of the training that is done.
        images: Number of images, over all ranks.
        features: Of the evaluated network.
        loss: Of the iteration.
        weight_norm: Norm of the trained weights.
        grad_norm: Median since the last record, or None where it is not logged.
        loss_scale: Of mixed precision, or None.
        ema_distance: Of the target network from the trained one, or None.
        predictions: Of this record's images, or None without prototypes.
        usage: Over this record and some before it.
        prototypes: Distances between them.
        log_prior: Over the prototypes, shape (K,).
    """

    iteration: int
    progress: float
    images: int
    features: FeatureMeasures
    loss: float
    weight_norm: float
    grad_norm: float | None = None
    loss_scale: float | None = None
    ema_distance: float | None = None
    predictions: PredictionSums | None = None
    usage: UsageMeasures | None = None
    prototypes: PrototypeMeasures | None = None
    log_prior: Tensor | None = None


def scalars(record: HealthRecord) -> dict[str, float]:
    """The numbers of a record that are finite, by the names under which they are logged."""
    values: dict[str, float | None] = dict(
        images=record.images,
        rankme=record.features.rankme,
        feature_std=record.features.std,
        feature_norm=record.features.norm,
        weight_norm=record.weight_norm,
        ema_distance=record.ema_distance,
    )
    if record.usage is not None:
        values.update(
            usage_images=record.usage.images,
            usage_kl=record.usage.kl,
            usage_tv=record.usage.total_variation,
            prototypes_effective=record.usage.effective,
            prototypes_used=record.usage.used,
            prototypes_expected=record.usage.expected,
            prediction_entropy=record.usage.entropy,
            information=record.usage.information,
        )
    if record.prototypes is not None:
        values.update(
            prototypes_distinct=record.prototypes.distinct,
            prototype_cosine=record.prototypes.nearest.mean().item(),
            prototype_cosine_max=record.prototypes.nearest.max().item(),
        )
    return {
        f'health/{name}': value
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    }


def collapsed_onto_few(records: Sequence[HealthRecord]) -> str | None:
    """Nearly all images have one prototype, against the prior."""
    usage = _recent_usage(records)
    if usage is None or usage.used > max(1.0, FEW * usage.expected) or usage.kl < FAR:
        return None
    return (
        f'collapsed: {usage.images} images use {usage.used} of {len(usage.p_bar)} prototypes, '
        f'where about {usage.expected:.0f} were to be expected. A low loss means nothing then. '
        'Switch a term against collapse on (head.sinkhorn.marginal not off, '
        'head.prior_loss.loss_weight=1), and let the target network move slowly '
        '(target_momentum 0.99 or more); then start anew'
    )


def same_prediction(records: Sequence[HealthRecord]) -> str | None:
    """Every image has the same prediction, which is the prior: nothing is being learned."""
    usage = _recent_usage(records)
    if usage is None or usage.kl >= FAR:
        return None
    told = [record.usage.information for record in records[-PATIENCE:] if record.usage]
    if not max(told) < NOTHING:
        return None
    return (
        'stuck: all images have the same prediction over the prototypes, so the loss stays at the '
        "prior's entropy (log K if it is uniform) with nothing to learn from. Weaken the "
        'augmentation until views of an image can be told to belong together '
        '(tools/browse_dataset.py), take a gentler prior, a lower learning rate or a longer '
        'warm-up, fewer prototypes or a larger batch; then start anew'
    )


def shared_prototypes(records: Sequence[HealthRecord]) -> str | None:
    """Prototypes that lie on one another, which together can follow any prior."""
    recent = [record.prototypes for record in records[-PATIENCE:] if record.prototypes is not None]
    usage = records[-1].usage
    if not _is_time(records) or len(recent) < PATIENCE or usage is None:
        return None
    distinct, number = max(measured.distinct for measured in recent), len(recent[-1].nearest)
    if distinct > DISTINCT * number:
        return None
    follows = 'The usage follows the prior only because clusters share them. '
    return (
        f'duplicated prototypes: only {distinct} of {number} can be told apart. '
        f'{follows if usage.kl < FAR else ""}'
        f'Take fewer prototypes (model.head.num_prototypes={_power_of_two(distinct)}), a gentler '
        'prior, or a lower learning rate for the prototypes; compare priors by '
        'health/prototypes_distinct, too'
    )


def dead_prototypes(records: Sequence[HealthRecord]) -> str | None:
    """Far fewer prototypes are any image's first choice than chance would use."""
    recent = [record.usage for record in records[-PATIENCE:] if record.usage is not None]
    if not _is_time(records) or len(recent) < PATIENCE:
        return None
    if not all(usage.used < DEAD * usage.expected for usage in recent):
        return None
    usage = recent[-1]
    return (
        f'dead prototypes: {usage.images} images use {usage.used} of {len(usage.p_bar)} '
        f'prototypes, where about {usage.expected:.0f} were to be expected. Take fewer '
        f'(model.head.num_prototypes={_power_of_two(2 * usage.used)}) where the data have no more '
        'clusters; else raise head.prior_loss.loss_weight or take a gentler prior'
    )


def collapsed_features(records: Sequence[HealthRecord]) -> str | None:
    """The features of all images point the same way."""
    if not _is_time(records):
        return None
    recent = [record.features for record in records[-PATIENCE:]]
    flat = all(measured.std < NO_SPREAD for measured in recent)
    if not flat and not all(measured.rankme < ONE_DIRECTION for measured in recent):
        return None
    return (
        f'collapsed features: those of all images point the same way (spread {recent[-1].std:.3g}, '
        f'RankMe {recent[-1].rankme:.3g}). Look whether a term against collapse is off (Sinkhorn, '
        'prior_loss, the variance and covariance of VICReg, the stop of the gradient at the '
        'target), whether the target network moves too fast, and whether the learning rate is too '
        'high; then start anew'
    )


def runaway_numbers(records: Sequence[HealthRecord]) -> str | None:
    """Numbers grow as they do before they overflow."""
    last = records[-1]
    advice = (
        'A NaN may be next. Lower the learning rate, lengthen its warm-up, clip gradients '
        '(optim_wrapper.clip_grad), or train in bfloat16 or full precision'
    )
    if not all(map(math.isfinite, (last.features.norm, last.weight_norm))):
        return f'a feature or a weight is not finite. {advice}'
    if last.loss_scale is not None and last.loss_scale <= LOSS_SCALE:
        return f'the loss scale has fallen to {last.loss_scale:g}: gradients overflow. {advice}'
    recent = records[-PATIENCE - 1 :]
    if len(recent) <= PATIENCE:
        return None
    if _grows([record.weight_norm for record in recent], RUNAWAY_WEIGHTS):
        return f'the norm of the weights runs away, now {last.weight_norm:.3g}. {advice}'
    # Where learning takes off, gradients and features may grow as fast, but the loss falls.
    if last.loss < recent[0].loss:
        return None
    if _grows([record.features.norm for record in recent], RUNAWAY):
        return f'the norm of the features runs away, now {last.features.norm:.3g}. {advice}'
    norms = [record.grad_norm for record in recent if record.grad_norm is not None]
    if len(norms) == len(recent) and _grows(norms, RUNAWAY):
        return f'the norm of the gradient runs away, now {norms[-1]:.3g}. {advice}'
    return None


#: By name, the most telling first: what follows from a failure is not told beside it.
DETECTORS: dict[str, Callable[[Sequence[HealthRecord]], str | None]] = dict(
    runaway_numbers=runaway_numbers,
    collapsed_features=collapsed_features,
    collapsed_onto_few=collapsed_onto_few,
    same_prediction=same_prediction,
    shared_prototypes=shared_prototypes,
    dead_prototypes=dead_prototypes,
)
#: What a failure makes of the prototypes anyway.
CONSEQUENCES = dict(
    collapsed_features={'collapsed_onto_few', 'same_prediction', 'dead_prototypes'},
    collapsed_onto_few={'dead_prototypes'},
    same_prediction={'dead_prototypes'},
)


def find_failures(records: Sequence[HealthRecord]) -> dict[str, str]:
    """What the detectors find in the records, by their names.

    Args:
        records: Oldest first; ``PATIENCE + 1`` are enough.
    """
    found: dict[str, str] = {}
    follow: set[str] = set()
    for name, detect in DETECTORS.items():
        if records and name not in follow:
            message = detect(records)
            if message:
                found[name] = message
                follow |= CONSEQUENCES.get(name, set())
    return found


def _is_time(records: Sequence[HealthRecord]) -> bool:
    if len(records) < PATIENCE:
        return False
    first = records[-PATIENCE]
    return first.progress >= START and first.iteration >= FIRST


def _recent_usage(records: Sequence[HealthRecord]) -> UsageMeasures | None:
    """Usage over the records that have to agree, once it is time."""
    if not _is_time(records):
        return None
    recent = [record.predictions for record in records[-PATIENCE:] if record.predictions]
    log_prior = records[-1].log_prior
    if len(recent) < PATIENCE or log_prior is None:
        return None
    return measure_usage(recent, log_prior)


def _grows(values: Sequence[float], factor: float) -> bool:
    """Whether values rise in every step, and by the factor in all."""
    rises = all(later > earlier for earlier, later in zip(values, values[1:]))
    return rises and values[-1] >= factor * values[0]


def _power_of_two(number: int) -> int:
    """The largest power of two up to a number, at least 2."""
    return 2 ** max(1, number.bit_length() - 1)

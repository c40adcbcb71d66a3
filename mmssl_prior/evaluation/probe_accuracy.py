"""Scores of each head of a linear probe."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmpretrain.registry import METRICS
from torch import Tensor

from ..errors import UserError
from .accuracy import class_mean_top1, shot_group_top1, top1

__all__ = ['HeadScores', 'ProbeAccuracy', 'best_head', 'head_scores', 'scores_text']


class HeadScores(NamedTuple):
    """Of one head, fractions in [0, 1].

    Top-5 is None for up to five classes; many, medium and few, those of
    :func:`shot_group_top1`, without training counts or without such classes.
    """

    top1: float
    top5: float | None
    class_mean_top1: float
    many: float | None = None
    medium: float | None = None
    few: float | None = None

    def known(self) -> dict[str, float]:
        """Those that there are, by name."""
        return {name: value for name, value in self._asdict().items() if value is not None}


def head_scores(
    topk: Tensor,
    labels: Tensor,
    train_counts: Tensor | None = None,
    groups: tuple[int, int] = (20, 100),
) -> HeadScores:
    """Scores of one head.

    Args:
        topk: Labels of each sample, the most probable first, shape (N, 5), or
            (N, 1) without top-5.
        labels: Shape (N,).
        train_counts: Training images of each class, shape (C,), for many,
            medium and few.
        groups: Few-shot classes have fewer images than the first, many-shot
            ones more than the second.

    Example:
        >>> head_scores(torch.tensor([[0], [1]]), torch.tensor([0, 0])).known()
        {'top1': 0.5, 'class_mean_top1': 0.5}
    """
    top5 = (topk == labels[:, None]).any(1).double().mean().item() if topk.shape[1] == 5 else None
    by_group = {}
    if train_counts is not None:
        few, many = groups
        by_group = shot_group_top1(topk[:, 0], labels, train_counts, many, few)._asdict()
    return HeadScores(
        top1(topk[:, 0], labels), top5, class_mean_top1(topk[:, 0], labels), **by_group
    )


def best_head(scores: Mapping[str, HeadScores], extra: Collection[str] = ()) -> str:
    """Name of the head with the best top-1, of those not extra; of equals the first."""
    names = [name for name in scores if name not in extra]
    return max(names, key=lambda name: scores[name].top1)


def scores_text(scores: Mapping[str, HeadScores], extra: Collection[str] = ()) -> str:
    """One line for the log: every head, the best one named."""
    best = best_head(scores, extra)
    every = ', '.join(
        f'{name}{" (extra)" * (name in extra)} {100 * score.top1:.2f}'
        for name, score in scores.items()
    )
    return f'linear probe, top-1 in %: {every}; best: {best} {100 * scores[best].top1:.2f}'


@METRICS.register_module()
class ProbeAccuracy(BaseMetric):
    """Top-1, top-5 and class-mean top-1 of each head of a :class:`LinearProbe`.

    Metrics, fractions in [0, 1]: ``probe/<head>/top1``, ``probe/<head>/top5``
    (with more than five classes), ``probe/<head>/class_mean_top1``, and those
    of the head with the best top-1 as ``probe/top1`` and so on. A line in the
    log names that head. Heads that are ``extra`` are scored, and never the best.
    The best head is chosen on the very samples that it is scored on, as VISSL
    reports it; name one head beforehand where that matters.

    With training counts also ``many``, ``medium`` and ``few``, the mean over
    the classes of each group (:func:`shot_group_top1`).

    Args:
        train_counts: Training images of each class, by label.
        groups: Few-shot classes have fewer images than the first, many-shot
            ones more than the second.
        collect_device: As in MMEngine.
        prefix: In place of 'probe'.

    Raises:
        UserError: If samples carry no predictions of a :class:`LinearProbe`
            or no label, or a label has no training count.
    """

    default_prefix = 'probe'

    def __init__(
        self,
        train_counts: Sequence[int] | None = None,
        groups: tuple[int, int] = (20, 100),
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix)
        self.train_counts = train_counts
        self.groups = groups

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep labels and predictions of a batch."""
        for sample in data_samples:
            if 'probe_topk' not in sample:
                raise UserError('ProbeAccuracy scores a LinearProbe; use Accuracy for this model')
            if sample.get('gt_label') is None:
                raise UserError('ProbeAccuracy: a sample has no gt_label: name a labelled split')
            heads = sample['probe_heads'], sample.get('probe_extra', ())
            self.results.append((int(sample['gt_label']), sample['probe_topk'].cpu(), heads))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Scores of all samples of all ranks."""
        labels = torch.tensor([label for label, _, _ in results])
        topk = torch.stack([best for _, best, _ in results])
        names, extra = results[0][2]
        counts = None if self.train_counts is None else torch.tensor(self.train_counts)
        scores = {
            name: head_scores(topk[:, h], labels, counts, self.groups)
            for h, name in enumerate(names)
        }
        MMLogger.get_current_instance().info(scores_text(scores, extra))
        return scores[best_head(scores, extra)].known() | {
            f'{name}/{key}': value
            for name, score in scores.items()
            for key, value in score.known().items()
        }

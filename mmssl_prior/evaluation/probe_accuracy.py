"""Scores of each head of a linear probe."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmpretrain.registry import METRICS
from torch import Tensor

from ..errors import UserError
from .accuracy import class_mean_top1, top1

__all__ = ['HeadScores', 'ProbeAccuracy', 'best_head', 'head_scores', 'scores_text']


class HeadScores(NamedTuple):
    """Of one head, fractions in [0, 1]; top-5 is None for up to five classes."""

    top1: float
    top5: float | None
    class_mean_top1: float


def head_scores(topk: Tensor, labels: Tensor) -> HeadScores:
    """Scores of one head.

    Args:
        topk: Labels of each sample, the most probable first, shape (N, 5), or
            (N, 1) without top-5.
        labels: Shape (N,).

    Example:
        >>> head_scores(torch.tensor([[0], [1]]), torch.tensor([0, 0]))
        HeadScores(top1=0.5, top5=None, class_mean_top1=0.5)
    """
    top5 = (topk == labels[:, None]).any(1).double().mean().item() if topk.shape[1] == 5 else None
    return HeadScores(top1(topk[:, 0], labels), top5, class_mean_top1(topk[:, 0], labels))


def best_head(scores: dict[str, HeadScores]) -> str:
    """Name of the head with the best top-1; of equals the first."""
    return max(scores, key=lambda name: scores[name].top1)


def scores_text(scores: dict[str, HeadScores]) -> str:
    """One line for the log: every head, the best one named."""
    best = best_head(scores)
    every = ', '.join(f'{name} {100 * score.top1:.2f}' for name, score in scores.items())
    return f'linear probe, top-1 in %: {every}; best: {best} {100 * scores[best].top1:.2f}'


@METRICS.register_module()
class ProbeAccuracy(BaseMetric):
    """Top-1, top-5 and class-mean top-1 of each head of a :class:`LinearProbe`.

    Metrics, fractions in [0, 1]: ``probe/<head>/top1``, ``probe/<head>/top5``
    (with more than five classes), ``probe/<head>/class_mean_top1``, and those
    of the head with the best top-1 as ``probe/top1`` and so on. A line in the
    log names that head.
    The best head is chosen on the very samples that it is scored on, as VISSL
    reports it; name one head beforehand where that matters.

    Args:
        collect_device: As in MMEngine.
        prefix: In place of 'probe'.

    Raises:
        UserError: If samples carry no predictions of a :class:`LinearProbe`
            or no label.
    """

    default_prefix = 'probe'

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep labels and predictions of a batch."""
        for sample in data_samples:
            if 'probe_topk' not in sample:
                raise UserError('ProbeAccuracy scores a LinearProbe; use Accuracy for this model')
            if sample.get('gt_label') is None:
                raise UserError('ProbeAccuracy: a sample has no gt_label: name a labelled split')
            self.results.append(
                (int(sample['gt_label']), sample['probe_topk'].cpu(), sample['probe_heads'])
            )

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Scores of all samples of all ranks."""
        labels = torch.tensor([label for label, _, _ in results])
        topk = torch.stack([best for _, best, _ in results])
        names = results[0][2]
        scores = {name: head_scores(topk[:, h], labels) for h, name in enumerate(names)}
        best = best_head(scores)
        MMLogger.get_current_instance().info(scores_text(scores))
        return _flat('', scores[best]) | {
            key: value
            for name, score in scores.items()
            for key, value in _flat(f'{name}/', score).items()
        }


def _flat(prefix: str, scores: HeadScores) -> dict[str, float]:
    named = scores._asdict().items()
    return {f'{prefix}{key}': value for key, value in named if value is not None}

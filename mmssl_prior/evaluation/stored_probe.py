"""The linear probe of the fast protocol."""

from typing import Any

from torch import Tensor

from .features import Features
from .probe_features import probe_features
from .task_scores import TaskFeatures
from .tasks import Task

__all__ = ['stored_probe']

FEATURE = 'avg'  # the name that heads know for features (B, D) as they come
#: VISSL's two kinds; the first is in the table, chosen before any score is known.
HEADS = (
    dict(feature=FEATURE, norm='bn', name='bn'),
    dict(feature=FEATURE, name='plain'),
)


def stored_probe(
    features: TaskFeatures, task: Task, is_vit: bool, device: str
) -> tuple[Tensor, dict[str, Any]]:
    """Train the task's recipe on stored features.

    Returns:
        Predictions of the first head on the test split, and the scores of
        every head.
    """
    splits = {}
    for split in ('train', 'test'):
        rows, labels = getattr(features, f'{split}_x'), getattr(features, f'{split}_y')
        index = labels.new_tensor(range(len(labels)))
        splits[split] = {FEATURE: Features(rows, labels, index)}
    scores = probe_features(
        splits['train'],
        splits['test'],
        task.classes,
        HEADS,
        # VISSL decays the batch norm of heads in its recipes for vision transformers.
        task.recipe._replace(regularize_bn=is_vit),
        device=device,
        name=task.title,
    )
    heads = {name: head._asdict() for name, head in scores.heads.items()}
    return scores.predictions[str(HEADS[0]['name'])], heads

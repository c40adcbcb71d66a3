"""The linear probe of the fast protocol."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .features import Features
from .linear_entry import linear_entry
from .probe_features import probe_features
from .task_scores import TaskFeatures
from .tasks import Task

__all__ = ['stored_probe']

FEATURE = 'avg'  # the name that heads know for features (B, D) as they come


def stored_probe(
    features: TaskFeatures,
    task: Task,
    is_vit: bool,
    device: str,
    counts: Tensor | None = None,
    groups: tuple[int, int] = (20, 100),
    lr_multipliers: Sequence[float] = (1.0,),
) -> dict[str, Any]:
    """Train the task's recipe on stored features.

    VISSL's two kinds of head on the encoder's feature, 'bn' and 'plain', and
    on each of the further ones. The first, at the recipe's own learning rate,
    is the number of the table: it is named before any score is known.

    Args:
        features: Of both splits.
        task: Has the recipe.
        is_vit: VISSL decays the batch norm of heads in its recipes for vision
            transformers.
        device: Where to train.
        counts: Training images of each class, for the groups.
        groups: Their bounds.
        lr_multipliers: A copy of each head for each; with 1 among them.

    Returns:
        As :func:`~.linear_entry.linear_entry`.
    """
    # Of a map, 'avg' is the encoder's feature once more.
    further = [name for name in features.more if name != FEATURE]
    heads = [
        head
        for name, label in ((FEATURE, ''), *((name, f'{name}_') for name in further))
        for head in (
            dict(feature=name, norm='bn', name=f'{label}bn'),
            dict(feature=name, name=f'{label}plain'),
        )
    ]
    splits = {}
    for place, split in enumerate(('train', 'test')):
        labels = getattr(features, f'{split}_y')
        index = labels.new_tensor(range(len(labels)))
        rows = {FEATURE: getattr(features, f'{split}_x')}
        rows |= {name: features.more[name][place] for name in further}
        splits[split] = {name: Features(x, labels, index) for name, x in rows.items()}
    scores = probe_features(
        splits['train'],
        splits['test'],
        task.classes,
        heads,
        task.recipe._replace(regularize_bn=is_vit),
        lr_multipliers,
        device=device,
        name=task.title,
        train_counts=counts,
        groups=groups,
    )
    own = str(heads[0]['name'])
    return linear_entry(scores.heads, [own if len(lr_multipliers) == 1 else f'{own}_x1'])

"""Linear probes on stored features: what :class:`LinearProbe` trains, without the backbone."""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmengine import dist
from mmengine.logging import print_log
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError
from ..models.classifiers import ProbeHead, ProbeHeads
from ..models.classifiers.probe_heads import top_labels
from .features import Features, log_each_minute
from .probe_accuracy import HeadScores, best_head, head_scores, scores_text

__all__ = ['ProbeRecipe', 'ProbeScores', 'probe_features']

TEST_ROWS = 4096


class ProbeRecipe(NamedTuple):
    r"""SGD of a linear probe; the defaults are VISSL's for ImageNet-1K.

    .. math::
        \text{steps: } \eta_t = \eta_0 \gamma^{|\{m \in M : m \le t\}|}, \qquad
        \text{cosine: } \eta_t = \eta_0 \Bigl(c + (1 - c) \frac{1 + \cos(\pi t / T)}{2}\Bigr)

    with t in epochs, a whole number unless the rate changes with each step.

    Attributes:
        epochs: T.
        lr: eta_0, for the batch size as it is here.
        batch_size: The last batch of an epoch is kept, however small.
        milestones: M; no effect with a cosine.
        gamma: Factor at each milestone.
        cosine_to: c, the end of a cosine as a share of eta_0; None for steps.
        by_epoch: Whether the rate changes between epochs only.
        momentum: Of SGD.
        nesterov: Whether it is Nesterov's.
        weight_decay: Of weights and biases.
        regularize_bn: Whether the parameters of a head's norm are decayed.
        seed: Of initial weights and order.
    """

    epochs: int = 28
    lr: float = 0.01
    batch_size: int = 256
    milestones: Sequence[int] = (8, 16, 24)
    gamma: float = 0.1
    cosine_to: float | None = None
    by_epoch: bool = True
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    regularize_bn: bool = False
    seed: int = 0

    def factor(self, epoch: float) -> float:
        """Share of the first learning rate.

        Example:
            >>> ProbeRecipe(milestones=(2,)).factor(2), ProbeRecipe(4, cosine_to=0.0).factor(2)
            (0.1, 0.5)
        """
        epoch = math.floor(epoch) if self.by_epoch else epoch
        if self.cosine_to is None:
            return self.gamma ** sum(milestone <= epoch for milestone in self.milestones)
        cosine = (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        return self.cosine_to + (1 - self.cosine_to) * cosine


class ProbeScores(NamedTuple):
    """Scores of each head, the name of the best of those not extra, and predicted labels."""

    heads: dict[str, HeadScores]
    best: str
    predictions: dict[str, Tensor]


def probe_features(
    train: Mapping[str, Features],
    test: Mapping[str, Features],
    num_classes: int,
    heads: Sequence[Mapping[str, Any]],
    recipe: ProbeRecipe | None = None,
    lr_multipliers: Sequence[float] = (1.0,),
    device: str | torch.device | None = None,
    name: str = 'probe',
    train_counts: Tensor | None = None,
    groups: tuple[int, int] = (20, 100),
) -> ProbeScores:
    """Train several linear classifiers on fixed features, side by side, and score them.

    On features of images without random transforms this is the training of a
    :class:`~mmssl_prior.models.LinearProbe` in one process: the same initial
    weights for a seed, the order of MMEngine's ``DefaultSampler``, the same
    losses and steps. All heads learn from the same batch, which is read once.

    Under several ranks every rank has all features, and the heads are dealt to
    the ranks; all return the same.

    The best head is chosen on the samples that it is scored on; see
    :class:`ProbeAccuracy`.

    Args:
        train: By the names of the features, of the same images; on disk or in
            memory, of any floating type.
        test: As ``train``.
        num_classes: Labels are below it.
        heads: Configs of :class:`~mmssl_prior.models.ProbeHeads`;
            ``in_channels`` may be left out.
        recipe: Defaults to that of ImageNet-1K.
        lr_multipliers: A copy of each head for each factor of the learning
            rate.
        device: Where to train; a GPU, if there is one.
        name: What the log calls the training; a line is logged each minute.
        train_counts: Of each class, for many, medium and few.
        groups: Their bounds, as for :class:`ProbeAccuracy`.

    Raises:
        UserError: If a head's feature is missing, features are not labelled or
            not of the same images, a label is out of range, or the recipe is
            not a training.
    """
    recipe = recipe or ProbeRecipe()
    if recipe.epochs < 1 or recipe.batch_size < 1 or not recipe.lr > 0:
        raise UserError(f'{name}: epochs, batch_size and lr must be positive, got {recipe}')
    if not heads:
        raise UserError(f'{name}: a linear probe needs at least one head')
    configs = [_with_width(cfg, train, test, name) for cfg in heads]
    used = list(dict.fromkeys(cfg['feature'] for cfg in configs))
    labels = {
        split: _labels([features[feature] for feature in used], num_classes, f'{name}, {split}')
        for split, features in (('train', train), ('test', test))
    }
    where = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
    model = ProbeHeads(configs, num_classes, lr_multipliers, recipe.seed, sync=False).to(where)
    rank, world = dist.get_dist_info()
    mine = dict(list(model.items())[rank::world])
    needed = {model.features[head] for head in mine}
    topk: dict[str, Tensor] = {}
    # The caller may run under no_grad, as evaluations do.
    with torch.enable_grad():
        _train(model, mine, _rows(train, needed, where, name), labels['train'], recipe, name)
    with torch.no_grad():
        topk = _predict(model, mine, {feature: test[feature].features for feature in needed}, where)
    parts: dict[str, Tensor] = {}
    for part in dist.all_gather_object(topk):
        parts |= part
    scores = {
        head: head_scores(parts[head], labels['test'], train_counts, groups) for head in model.names
    }
    print_log(f'{name}: {scores_text(scores, model.extra)}', logger='current')
    return ProbeScores(
        scores,
        best_head(scores, model.extra),
        {head: parts[head][:, 0] for head in model.names},
    )


def _with_width(
    cfg: Mapping[str, Any],
    train: Mapping[str, Features],
    test: Mapping[str, Features],
    name: str,
) -> dict[str, Any]:
    feature = str(cfg.get('feature'))
    if feature not in train or feature not in test:
        raise UserError(
            f'{name}: a head is on feature {feature!r}, but there are {", ".join(train)} to train '
            f'and {", ".join(test)} to test'
        )
    return dict(in_channels=train[feature].features.shape[1]) | dict(cfg)


def _labels(features: Sequence[Features], num_classes: int, name: str) -> Tensor:
    """Labels of all the features, which must be of the same images."""
    first = features[0]
    labels = first.require_labels(name)
    for other in features:
        if not torch.equal(other.sample_idx, first.sample_idx):
            raise UserError(f'{name}: the features are not of the same images')
        if len(other.features) != len(labels) or not len(labels):
            raise UserError(f'{name}: {len(other.features)} features, {len(labels)} labels')
    if labels.min() < 0 or labels.max() >= num_classes:
        raise UserError(
            f'{name}: labels from {labels.min()} to {labels.max()} are outside the {num_classes} '
            'classes'
        )
    return labels


def _rows(
    features: Mapping[str, Features], names: set[str], device: torch.device, name: str
) -> dict[str, Tensor]:
    """The features on the device, or where they are, if they do not fit it."""
    rows = {feature: features[feature].features for feature in names}
    if device.type != 'cuda':
        return rows
    try:
        return {feature: tensor.to(device) for feature, tensor in rows.items()}
    except torch.OutOfMemoryError:
        pass
    torch.cuda.empty_cache()
    print_log(
        f'{name}: the features do not fit the memory of the GPU; each batch is copied to it',
        logger='current',
        level=logging.WARNING,
    )
    return rows


def _batch(
    rows: Mapping[str, Tensor], index: Tensor | slice, device: torch.device
) -> dict[str, Tensor]:
    return {
        feature: tensor[index.to(tensor.device) if isinstance(index, Tensor) else index]
        .to(device, non_blocking=True)
        .float()
        for feature, tensor in rows.items()
    }


def _train(
    model: ProbeHeads,
    heads: Mapping[str, ProbeHead],
    rows: Mapping[str, Tensor],
    labels: Tensor,
    recipe: ProbeRecipe,
    name: str,
) -> None:
    """Train these heads of the model."""
    if not heads:
        return
    groups = model.param_groups(recipe.lr, recipe.weight_decay, recipe.regularize_bn, heads)
    optimizer = torch.optim.SGD(groups, momentum=recipe.momentum, nesterov=recipe.nesterov)
    first_lr = [group['lr'] for group in optimizer.param_groups]
    device = groups[0]['params'][0].device
    labels = labels.to(device)
    model.train()
    steps = -(-len(labels) // recipe.batch_size)
    loss_sum = {head: torch.zeros((), device=device) for head in heads}
    for step in log_each_minute(range(recipe.epochs * steps), f'{name}, training'):
        epoch, number = divmod(step, steps)
        if number == 0:
            # As DefaultSampler orders an epoch.
            generator = torch.Generator().manual_seed(recipe.seed + epoch)
            order = torch.randperm(len(labels), generator=generator)
        factor = recipe.factor(step / steps)
        for group, lr in zip(optimizer.param_groups, first_lr):
            group['lr'] = lr * factor
        index = order[number * recipe.batch_size : (number + 1) * recipe.batch_size]
        batch, target = _batch(rows, index, device), labels[index.to(device)]
        losses = {
            head: F.cross_entropy(layer(batch[model.features[head]]), target)
            for head, layer in heads.items()
        }
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        for head, loss in losses.items():
            loss_sum[head] += loss.detach()
    diverged = [head for head, loss in loss_sum.items() if not loss.isfinite()]
    if diverged:
        print_log(
            f'{name}: heads whose loss was not finite: {", ".join(diverged)}; lower their learning '
            'rate',
            logger='current',
            level=logging.WARNING,
        )


def _predict(
    model: ProbeHeads,
    heads: Mapping[str, ProbeHead],
    rows: Mapping[str, Tensor],
    device: torch.device,
) -> dict[str, Tensor]:
    """The most probable labels of each head, in main memory."""
    model.eval()
    parts: dict[str, list[Tensor]] = {head: [] for head in heads}
    total = len(next(iter(rows.values()))) if rows else 0
    for start in range(0, total, TEST_ROWS):
        batch = _batch(rows, slice(start, start + TEST_ROWS), device)
        for head, layer in heads.items():
            parts[head].append(top_labels(layer(batch[model.features[head]])).cpu())
    return {head: torch.cat(labels) for head, labels in parts.items()}

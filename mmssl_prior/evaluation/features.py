"""Features of a whole dataset, the same for any number of ranks."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from mmengine import dist
from mmengine.logging import MMLogger, print_log
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from ..errors import UserError

__all__ = [
    'Features',
    'evaluated_backbone',
    'evaluation_mode',
    'extract_features',
    'labels_of',
    'log_each_minute',
    'pooled',
    'single_view',
]

GATHER_ROWS = 8192
LOG_SECONDS = 60


class Features(NamedTuple):
    """Features (N, D) float32, labels (N,) or None, sample indices (N,); all in main memory."""

    features: Tensor
    labels: Tensor | None
    sample_idx: Tensor

    def require_labels(self, name: str) -> Tensor:
        """The labels, or a ``UserError`` that says that ``name`` has none."""
        if self.labels is None:
            raise UserError(f'{name} is not labelled: its samples need gt_label')
        return self.labels


class _Samples(NamedTuple):
    """As :class:`Features`; without labels the labels are empty, which a collective can send."""

    features: Tensor
    labels: Tensor
    sample_idx: Tensor


_NOTHING = _Samples(torch.empty(0, 0), *torch.empty(2, 0, dtype=torch.int64))


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode for every module, then each one's own mode again, also after an error.

    Modules may differ in mode (a frozen part, a target network), and ``train()``
    may be overridden; so the flags themselves are put back.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def evaluated_backbone(model: nn.Module) -> str:
    """Name of the part whose features a model evaluates: ``backbone`` unless it says otherwise."""
    return getattr(model, 'evaluated_backbone', 'backbone')


@torch.no_grad()
def extract_features(
    model: nn.Module,
    batches: Iterable[dict],
    forward: Callable[[Tensor, Sequence], Tensor] | None = None,
    size: int | None = None,
    name: str = 'samples',
) -> Features:
    """Features of all samples that the dataloaders of all ranks hold.

    Every rank runs its own batches, in eval mode and without gradients, and
    leaves each module's mode, each buffer and torch's generator as they were.
    Then the ranks exchange what they have: samples that the sampler repeated
    to give every rank the same number are dropped, and all ranks return the
    same, in the order of ``sample_idx``; it is what one process would return.
    A feature map (B, C, H, W) is averaged over positions; of a tuple the last
    entry counts.

    Args:
        model: Model with MMEngine's ``data_preprocessor``; may be wrapped for
            distributed training.
        batches: This rank's dataloader, single-view, in any order;
            ranks may hold unequal numbers of samples, or none.
        forward: What to compute from (inputs, data_samples) after the
            preprocessor. Defaults to the model with ``mode='tensor'``.
        size: Number of samples of the dataset; fewer are reported as a
            warning. Defaults to that of ``batches.dataset``, if it has one.
        name: What the log calls these samples; a line is logged each minute.

    Returns:
        Features, labels and indices, without duplicates.

    Raises:
        UserError: If there are no samples, samples come as several views or
            carry no ``sample_idx``, only some are labelled, or samples share
            an index but not a label.
    """
    module: Any = model.module if is_model_wrapper(model) else model
    forward = forward or partial(module, mode='tensor')
    local, error = _NOTHING, None
    try:
        local = _run(module, batches, forward, name)
    except UserError as mistake:
        # Raised on all ranks: one that left alone would keep the others waiting for it.
        error = str(mistake)
    dataset: Any = getattr(batches, 'dataset', None)
    if size is None and hasattr(dataset, '__len__'):
        size = len(dataset)
    return _merge(_gather(local, error, name), size, name)


def _run(module: Any, batches: Iterable[dict], forward: Callable, name: str) -> _Samples:
    features: list[Tensor] = []
    labels: list[int] = []
    indices: list[int] = []
    # A dataloader draws its workers' base seed from the global generator.
    with evaluation_mode(module), torch.random.fork_rng(devices=[]):
        for batch in log_each_minute(batches, name):
            data = module.data_preprocessor(batch, False)
            samples = data['data_samples'] or []
            out = pooled(forward(single_view(data['inputs'], name), samples), name)
            features.append(out.float().cpu())
            labels += labels_of(samples, name)
            indices += _indices(samples, name)
    if not features:
        return _NOTHING
    return _Samples(
        torch.cat(features),
        torch.tensor(labels, dtype=torch.int64),
        torch.tensor(indices, dtype=torch.int64),
    )


def single_view(inputs, name: str) -> Tensor:
    """The batch as one tensor; several views or sizes are an error that calls it ``name``."""
    if isinstance(inputs, (list, tuple)):
        if any(view.ndim != 3 or view.shape != inputs[0].shape for view in inputs):
            raise UserError(
                f'{name}: each sample comes as {len(inputs)} views or images differ in '
                'size; evaluation needs a single-view pipeline with a fixed crop'
            )
        inputs = torch.stack(tuple(inputs))
    return inputs


def pooled(out, name: str) -> Tensor:
    """Features (B, D) of what a model returns: the last of a tuple, a map's mean over positions."""
    out = out[-1] if isinstance(out, (list, tuple)) else out
    out = out.mean((2, 3)) if out.ndim == 4 else out
    if out.ndim != 2:
        raise UserError(
            f'{name}: the model gives features of shape {tuple(out.shape)}, expected '
            '(B, D) or (B, C, H, W): choose a pooled or class-token output'
        )
    return out


def labels_of(samples: Sequence, name: str) -> list[int]:
    """The samples' labels; none, if no sample has any."""
    labels = [sample.get('gt_label') for sample in samples]
    if all(label is None for label in labels):
        return []
    if any(label is None or label.numel() != 1 for label in labels):
        raise UserError(f'{name}: every sample needs exactly one gt_label, or none any')
    return [int(label) for label in labels]


def _indices(samples: Sequence, name: str) -> list[int]:
    indices = [sample.get('sample_idx') for sample in samples]
    if not indices or None in indices:
        raise UserError(
            f'{name}: samples carry no sample_idx: end the pipeline with '
            "dict(type='PackInputs'), whose meta_keys must include 'sample_idx'"
        )
    return [int(index) for index in indices]


def _gather(local: _Samples, error: str | None, name: str) -> _Samples:
    """All ranks' samples, one rank after the other, in pieces of bounded size."""
    shapes = dist.all_gather_object((*local.features.shape, len(local.labels), error))
    rows, widths, labelled, errors = zip(*shapes)
    for message in filter(None, errors):
        raise UserError(message)
    if not any(rows):
        raise UserError(f'{name}: there are no samples')
    if any(labelled) and labelled != rows:
        raise UserError(f'{name}: only {sum(labelled)} of {sum(rows)} samples have a gt_label')
    if len(shapes) == 1:
        return local
    # A rank without samples does not know their width.
    features = local.features.reshape(len(local.features), max(widths))
    tensors = (features, local.labels, local.sample_idx)
    return _Samples(
        *(
            _gather_rows(tensor, max(sizes))
            for tensor, sizes in zip(tensors, (rows, labelled, rows))
        )
    )


def _gather_rows(tensor: Tensor, largest: int) -> Tensor:
    sizes = dist.all_gather_object(len(tensor))
    parts: list[list[Tensor]] = [[] for _ in sizes]
    for start in range(0, largest, GATHER_ROWS):
        count = min(GATHER_ROWS, largest - start)
        piece = tensor[start : start + count]
        # Collectives need equal shapes.
        padding = tensor.new_zeros(count - len(piece), *tensor.shape[1:])
        for part, size, rows in zip(parts, sizes, dist.all_gather(torch.cat([piece, padding]))):
            part.append(rows[: max(0, size - start)])
    return torch.cat([rows for part in parts for rows in part]) if largest else tensor


def _merge(samples: _Samples, size: int | None, name: str) -> Features:
    features, sample_idx = samples.features, samples.sample_idx
    labels = samples.labels if len(samples.labels) else None
    order = sample_idx.argsort(stable=True)
    sorted_idx = sample_idx[order]
    repeated = sorted_idx[1:] == sorted_idx[:-1]
    if labels is not None and (labels[order][1:] != labels[order][:-1])[repeated].any():
        raise UserError(
            f'{name}: two samples share a sample_idx but not a label, as those of a '
            'ConcatDataset do: give one dataset'
        )
    kept = torch.cat([order[:1], order[1:][~repeated]])
    if size is not None and len(kept) < size:
        print_log(
            f'{name}: {len(kept)} of {size} samples were evaluated: is drop_last set, or '
            'were images undecodable?',
            logger='current',
            level=logging.WARNING,
        )
    if not torch.equal(kept, torch.arange(len(features))):
        features, sample_idx = features[kept], sample_idx[kept]
        labels = None if labels is None else labels[kept]
    return Features(features, labels, sample_idx)


def log_each_minute(batches: Iterable, name: str) -> Iterator:
    """The batches, with a line in the log each minute."""
    total = f'/{len(batches)}' if isinstance(batches, Sized) else ''
    last = time.monotonic()
    for number, batch in enumerate(batches):
        if time.monotonic() - last > LOG_SECONDS:
            last = time.monotonic()
            MMLogger.get_current_instance().info(f'{name}: batch {number}{total}')
        yield batch

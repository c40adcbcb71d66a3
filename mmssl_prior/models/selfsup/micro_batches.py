"""The exact gradient of a large batch in the memory of a small one."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

__all__ = ['in_micro_batches']


def in_micro_batches(encode: Callable, size: int, images: Tensor, keep: Tensor | None = None):
    """What ``encode`` makes of all images, with the activations of ``size`` of them at a time.

    A first pass keeps only the outputs, on which the loss of the whole batch
    is computed; the backward pass encodes each part again, with its
    activations, for the gradient that arrived at its outputs. The gradient
    is that of one pass over the whole batch, in one backward pass: a wrapper
    such as DistributedDataParallel reduces it once, and random numbers such
    as those of stochastic depth are repeated. It costs a forward pass more.

    The named exception is batch normalisation within ``encode``: its
    statistics are those of each part, and its running averages move twice.

    Args:
        encode: Function of images and, where given, ``keep=``.
        size: Images at a time; 0 for all.
        images: Shape (B, ...).
        keep: Shape (n,) for all images, or (B, n).

    Returns:
        The output of ``encode``, a tensor or a tuple of them, over all images.
    """

    def part(chunk: Tensor, kept: Tensor | None):
        return encode(chunk) if kept is None else encode(chunk, keep=kept)

    if not size or len(images) <= size:
        return part(images, keep)
    chunks = images.split(size)
    keeps = [keep] * len(chunks) if keep is None or keep.ndim == 1 else list(keep.split(size))
    outs = [
        checkpoint(part, chunk, kept, use_reentrant=False)
        if torch.is_grad_enabled()
        else part(chunk, kept)
        for chunk, kept in zip(chunks, keeps)
    ]
    if isinstance(outs[0], (tuple, list)):
        return tuple(torch.cat(level) for level in zip(*outs))
    return torch.cat(outs)

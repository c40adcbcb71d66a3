"""Collectives that carry gradients; every reduction over ranks of this package is made here.

They run unconditionally: in one process a collective is the identity, so the
same code is the single-process oracle of the distributed one.
"""

import math

import torch
from mmengine import dist
from torch import Tensor

__all__ = [
    'all_reduce_sum',
    'distributed_log_mean',
    'distributed_log_mean_exp',
    'distributed_logsumexp',
    'gather_rows',
    'gather_stack',
    'global_mean',
    'local_shard',
    'whole_tensor',
]


class _AllReduceSum(torch.autograd.Function):
    """Sum over ranks; the gradient is summed over ranks too, since every rank's loss uses it."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, 'sum')
        return total

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        total = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, 'sum')
        return total


class _GatherStack(torch.autograd.Function):
    """Stack of all ranks' tensors; a rank's gradient is the sum over ranks of its slice's."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return torch.stack(dist.all_gather(x.contiguous()))

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        total = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, 'sum')
        return total[dist.get_rank()]


class _LogSumExp(torch.autograd.Function):
    """``log sum exp`` over ranks, elementwise; K values are sent forward, and K backward."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = torch.stack(dist.all_gather(x.contiguous())).logsumexp(0)
        ctx.save_for_backward(x, total)
        return total

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        x, total = ctx.saved_tensors
        summed = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed, 'sum')
        # Nothing anywhere has no share in nothing.
        return summed * torch.where(x == -math.inf, torch.zeros_like(x), (x - total).exp())


class _GatherRows(torch.autograd.Function):
    """Rows of all ranks; the gradient of a rank's rows is the sum over ranks of theirs."""

    @staticmethod
    def forward(ctx, x: Tensor) -> tuple[Tensor, int]:
        rank, world = dist.get_dist_info()
        sizes = [len(x)]
        if world > 1:
            sizes = torch.stack(dist.all_gather(torch.full((), len(x), device=x.device))).tolist()
        ctx.start, ctx.rows = sum(sizes[:rank]), len(x)
        # Collectives need equal shapes.
        padding = x.new_zeros(max(sizes) - len(x), *x.shape[1:])
        parts = dist.all_gather(torch.cat([x, padding]))
        return torch.cat([part[:size] for part, size in zip(parts, sizes)]), ctx.start

    @staticmethod
    def backward(ctx, grad: Tensor, _: None) -> Tensor:
        total = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, 'sum')
        return total[ctx.start : ctx.start + ctx.rows]


def all_reduce_sum(x: Tensor) -> Tensor:
    r"""Sum of ``x`` over ranks, differentiable.

    The backward pass sums the incoming gradients over ranks. Together with
    the mean over ranks that DistributedDataParallel takes of parameter
    gradients, a term that every rank computes from this sum gets exactly the
    gradient that one process would compute on the concatenated batch.

    Args:
        x: Any shape, equal on all ranks.

    Returns:
        Tensor of the shape of ``x``, equal on all ranks.
    """
    return _AllReduceSum.apply(x)


def gather_stack(x: Tensor) -> Tensor:
    """Stack ``x`` of all ranks along a new first dimension, differentiable.

    Args:
        x: Any shape, equal on all ranks.

    Returns:
        Tensor of shape ``(world_size, *x.shape)``, equal on all ranks; its
        gradients follow the convention of :func:`all_reduce_sum`.
    """
    return _GatherStack.apply(x)


def gather_rows(x: Tensor) -> tuple[Tensor, int]:
    """Concatenate the rows of all ranks in the order of ranks, differentiable.

    Args:
        x: Shape (B, ...); B may differ between ranks.

    Returns:
        Tensor of shape (N, ...), equal on all ranks, and the position in it
        of this rank's first row; gradients follow the convention of
        :func:`all_reduce_sum`.

    Example:
        >>> gather_rows(torch.tensor([1., 2.]))
        (tensor([1., 2.]), 0)
    """
    return _GatherRows.apply(x)


def global_mean(x: Tensor) -> Tensor:
    """Mean over all elements of ``x`` on all ranks (global), for unequal sizes too.

    Args:
        x: Any shape; the number of elements may differ between ranks.

    Returns:
        Scalar, equal on all ranks, differentiable.

    Example:
        >>> float(global_mean(torch.tensor([1., 2., 6.])))
        3.0
    """
    total, count = all_reduce_sum(torch.stack([x.sum(), x.new_full((), float(x.numel()))]))
    return total / count


def distributed_logsumexp(x: Tensor) -> Tensor:
    """``log sum exp`` over the rows of ``x`` on all ranks (global), differentiable.

    Args:
        x: Shape (N, K); N may differ between ranks and be 0.

    Returns:
        Shape (K,), equal on all ranks. One collective of K values.
    """
    return _LogSumExp.apply(_logsumexp_rows(x))


def distributed_log_mean_exp(x: Tensor) -> Tensor:
    r"""Logarithm of the mean of ``exp(x)`` over rows on all ranks (global), differentiable.

    .. math:: y_k = \log \frac{1}{N} \sum_{i=1}^{N} e^{x_{ik}}

    with N the number of rows on all ranks together. No probability is ever
    formed, so a nearly empty column keeps its gradient.

    Args:
        x: Shape (N, K); N may differ between ranks.

    Returns:
        Shape (K,), equal on all ranks. One collective of K + 1 values.

    Example:
        >>> distributed_log_mean_exp(torch.tensor([[0.1, 0.9], [0.5, 0.5]]).log()).exp()
        tensor([0.3000, 0.7000])
    """
    return distributed_log_mean(_logsumexp_rows(x), len(x))


def distributed_log_mean(log_sums: Tensor, rows: int) -> Tensor:
    r"""Logarithm of the mean over rows on all ranks (global), of each rank's log-sums.

    Args:
        log_sums: :math:`\log \sum_i e^{x_{ik}}` over this rank's rows, shape (K,).
        rows: Their number; it may differ between ranks.

    Returns:
        Shape (K,), equal on all ranks. One collective of K + 1 values.
    """
    # `new_full`, not `new_tensor`, which makes the host wait for a GPU.
    count = log_sums.new_full((1,), math.log(rows) if rows else -math.inf)
    stacked = _LogSumExp.apply(torch.cat([log_sums, count]))
    return stacked[:-1] - stacked[-1]


def local_shard(x: Tensor) -> Tensor:
    """This rank's part of a tensor that is divided among the ranks (a DTensor), or the tensor.

    Example:
        >>> local_shard(torch.ones(2))
        tensor([1., 1.])
    """
    to_local = getattr(x, 'to_local', None)
    return x if to_local is None else to_local()


def whole_tensor(x: Tensor) -> Tensor:
    """The whole of a tensor that is divided among the ranks (a DTensor), or the tensor.

    A collective where ``x`` is divided: all ranks have to call it.

    Example:
        >>> whole_tensor(torch.ones(2))
        tensor([1., 1.])
    """
    full_tensor = getattr(x, 'full_tensor', None)
    return x if full_tensor is None else full_tensor()


def _logsumexp_rows(x: Tensor) -> Tensor:
    if len(x):
        return x.logsumexp(0)
    # A rank without rows adds nothing, and must still take part in the collective.
    return x.new_full(x.shape[1:], -math.inf) + x.sum(0)

"""Weighted k-nearest-neighbour classification in bounded memory."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError

__all__ = ['knn_classify', 'nearest_neighbors']

QUERY_CHUNK = 1024
BANK_CHUNK = 16384


@torch.no_grad()
def nearest_neighbors(
    queries: Tensor,
    bank: Tensor,
    k: int,
    query_chunk: int = QUERY_CHUNK,
    bank_chunk: int = BANK_CHUNK,
) -> tuple[Tensor, Tensor]:
    r"""The k rows of a bank with the largest cosine similarity to each query.

    .. math:: s_{ij} = \frac{q_i \cdot b_j}{\|q_i\| \|b_j\|}

    The bank is read in pieces and the best k so far are kept, so that memory
    beyond the inputs is a few times ``query_chunk * bank_chunk`` numbers,
    whatever the size of the bank. Similarities are float32; rows of zeros
    have similarity 0 to everything. The pieces move to the device of the
    queries: the bank itself can stay in main memory.

    Args:
        queries: Shape (Q, D), not normalised.
        bank: Shape (N, D), not normalised, on any device.
        k: 1 <= k <= N.
        query_chunk: Queries per step.
        bank_chunk: Bank rows per step.

    Returns:
        Similarities and bank indices, both of shape (Q, k), best first. Of
        equal similarities the lower bank index comes first.

    Raises:
        ValueError: If shapes disagree, k is outside [1, N] or a feature is
            not finite.

    Example:
        >>> bank = torch.tensor([[1., 0.], [0., 2.], [3., 3.]])
        >>> similarity, index = nearest_neighbors(torch.tensor([[0., 1.]]), bank, 2)
        >>> similarity, index
        (tensor([[1.0000, 0.7071]]), tensor([[1, 2]]))
    """
    _check(queries, bank, k)
    keys = [_running_top_k(chunk, bank, k, bank_chunk) for chunk in queries.split(query_chunk)]
    return _unpack(torch.cat(keys) if keys else torch.empty(0, k, dtype=torch.int64))


@torch.no_grad()
def knn_classify(
    queries: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    k: int | Sequence[int],
    temperature: float = 0.07,
    query_chunk: int = QUERY_CHUNK,
    bank_chunk: int = BANK_CHUNK,
) -> dict[int, Tensor]:
    r"""Label queries by a weighted vote of their k nearest neighbours.

    .. math:: \hat y_i = \arg\max_c \sum_{j \in N_k(i), y_j = c} \exp(s_{ij} / \tau)

    with the neighbours and similarities of :func:`nearest_neighbors`. One
    search serves all k. Of classes with equal votes the lower label wins.

    Args:
        queries: Shape (Q, D).
        bank: Shape (N, D).
        bank_labels: Integer labels >= 0 of shape (N,).
        k: Number of neighbours, or several of them; each in [1, N]. A larger
            k is an error, since the score under its name would be another's.
        temperature: tau > 0.
        query_chunk: Queries per step.
        bank_chunk: Bank rows per step.

    Returns:
        Predicted labels of shape (Q,) for each k.

    Raises:
        ValueError: If shapes disagree, k is outside [1, N], the temperature
            is not positive, a label is negative or a feature is not finite.

    References:
        Wu et al., Unsupervised Feature Learning via Non-Parametric Instance
        Discrimination, CVPR 2018.

    Example:
        >>> bank, labels = torch.tensor([[1., 0.], [0., 1.], [.1, 1.]]), torch.tensor([5, 2, 2])
        >>> queries = torch.tensor([[1., .9], [0., 1.]])
        >>> {k: v.tolist() for k, v in knn_classify(queries, bank, labels, [1, 3]).items()}
        {1: [5, 2], 3: [2, 2]}
    """
    ks = sorted({k} if isinstance(k, int) else set(k))
    if not ks:
        raise UserError('k is empty: name at least one number of neighbours')
    if not temperature > 0:
        raise UserError(f'temperature must be positive, got {temperature}')
    if bank_labels.shape != bank.shape[:1] or bank_labels.is_floating_point():
        raise UserError(
            f'bank_labels must be {len(bank)} integers, got {bank_labels.dtype} of '
            f'shape {tuple(bank_labels.shape)}'
        )
    _check(queries, bank, *ks)
    if bank_labels.min() < 0:
        raise UserError('bank_labels must not be negative: is the bank labelled?')
    labels = bank_labels.to(queries.device)
    num_classes = int(labels.max()) + 1
    predictions: dict[int, list[Tensor]] = {k: [] for k in ks}
    for chunk in queries.split(query_chunk):
        similarity, index = _unpack(_running_top_k(chunk, bank, ks[-1], bank_chunk))
        # Relative to the best neighbour: the vote is the same, and no temperature overflows.
        weight = ((similarity - similarity[:, :1]).double() / temperature).exp()
        votes = weight.new_zeros(len(chunk), num_classes)
        done = 0
        for k in ks:
            votes.scatter_add_(1, labels[index[:, done:k]], weight[:, done:k])
            predictions[k].append(votes.argmax(1))
            done = k
    return {k: torch.cat(v) if v else labels.new_empty(0) for k, v in predictions.items()}


def _running_top_k(queries: Tensor, bank: Tensor, k: int, bank_chunk: int) -> Tensor:
    queries = F.normalize(queries.float(), dim=1)
    best = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
    for start in range(0, len(bank), bank_chunk):
        chunk = F.normalize(bank[start : start + bank_chunk].to(queries.device).float(), dim=1)
        keys = torch.cat([best, _top_keys(queries @ chunk.T, k, start)], 1)
        best = keys.topk(min(k, keys.shape[1]), 1).values
    return best


def _top_keys(similarity: Tensor, k: int, start: int) -> Tensor:
    """Keys of the k best columns of each row, in any order."""
    size = similarity.shape[1]
    k = min(k, size)
    values, index = similarity.topk(min(k + 1, size), 1)
    keys = _pack(values[:, :k], index[:, :k] + start)
    if size > k:
        # topk promises no order among equals: which of several equals at the border it keeps
        # would depend on the chunks. Among keys no two are equal, but they cost ten times more.
        tied = values[:, k - 1] == values[:, k]
        if tied.any():
            columns = torch.arange(start, start + size, device=similarity.device)
            keys[tied] = _pack(similarity[tied], columns).topk(k, 1).values
    return keys


def _pack(similarity: Tensor, index: Tensor) -> Tensor:
    """Similarity and index as one int64, the larger the nearer, then the lower the index."""
    # Adding 0 turns -0 into +0. Read as an integer, a float orders like one, except that the
    # negative ones run backwards.
    bits = (similarity + 0.0).view(torch.int32)
    bits = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (bits.long() << 32) | (0xFFFFFFFF - index)


def _unpack(keys: Tensor) -> tuple[Tensor, Tensor]:
    bits = (keys >> 32).to(torch.int32)
    bits = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return bits.view(torch.float32), 0xFFFFFFFF - (keys & 0xFFFFFFFF)


def _check(queries: Tensor, bank: Tensor, *ks: int) -> None:
    if queries.ndim != 2 or bank.ndim != 2 or queries.shape[1] != bank.shape[1]:
        raise UserError(
            'queries and bank must have shapes (Q, D) and (N, D), got '
            f'{tuple(queries.shape)} and {tuple(bank.shape)}'
        )
    for k in ks:
        if not 1 <= k <= len(bank):
            raise UserError(
                f'k = {k} neighbours of a bank of {len(bank)} samples: k must be in '
                f'[1, {len(bank)}]'
            )
    for name, features in (('queries', queries), ('bank', bank)):
        # In pieces: the mask of a whole bank would be a large tensor of its own.
        if not all(piece.isfinite().all() for piece in features.split(BANK_CHUNK)):
            raise UserError(f'{name} hold features that are not finite: has the model diverged?')

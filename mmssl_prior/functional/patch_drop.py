"""Random subsets of patch tokens."""

import math

import torch
from torch import Tensor

from ..errors import UserError

__all__ = ['patches_to_keep', 'take_patches']


def patches_to_keep(
    num_patches: int, drop_rate: float, generator: torch.Generator, num_samples: int | None = None
) -> Tensor:
    r"""Draw the patches that remain: :math:`\lfloor (1 - r) N \rfloor` of N, uniformly.

    Args:
        num_patches: N.
        drop_rate: r in [0, 1).
        generator: Source of randomness; no global generator is used.
        num_samples: None draws one subset for the whole batch, as in the MSN
            release; a number B draws a subset for each sample.

    Returns:
        Sorted indices of shape (kept,), or (B, kept).

    Raises:
        ValueError: If r is outside [0, 1) or no patch would remain.

    Example:
        >>> len(patches_to_keep(196, 0.15, torch.Generator().manual_seed(0)))
        166
    """
    # The rounding undoes binary noise: 0.85 * 20 must keep 17 patches, not floor(16.999...).
    kept = math.floor(round((1 - drop_rate) * num_patches, 6))
    if not (0 <= drop_rate < 1 and kept):
        raise UserError(
            f'drop_rate must be in [0, 1) and leave a patch, got {drop_rate} of '
            f'{num_patches} patches: lower it, or raise the scale of the views'
        )
    shape = (num_patches,) if num_samples is None else (num_samples, num_patches)
    order = torch.rand(shape, generator=generator, dtype=torch.float64).argsort(-1)
    return order[..., :kept].sort(-1).values


def take_patches(tokens: Tensor, keep: Tensor, num_prefix_tokens: int) -> Tensor:
    """The patches that remain, after the prefix tokens (class token, registers), all kept.

    Args:
        tokens: Shape (B, P + N, D): P prefix tokens, then N patches.
        keep: Indices of patches, 0 to N - 1, of shape (n,) for the whole
            batch or (B, n).
        num_prefix_tokens: P.

    Returns:
        Tokens of shape (B, P + n, D), patches in the order of ``keep``.

    Example:
        >>> tokens = torch.tensor([[[9.0], [0.0], [1.0], [2.0]]])
        >>> take_patches(tokens, torch.tensor([0, 2]), num_prefix_tokens=1).flatten().tolist()
        [9.0, 0.0, 2.0]
    """
    prefix, patches = tokens[:, :num_prefix_tokens], tokens[:, num_prefix_tokens:]
    if keep.ndim == 1:
        patches = patches.index_select(1, keep)
    else:
        patches = patches.gather(1, keep.unsqueeze(-1).expand(-1, -1, patches.shape[-1]))
    return torch.cat([prefix, patches], 1)

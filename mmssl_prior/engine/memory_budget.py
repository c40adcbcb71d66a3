"""What a training of a vision transformer keeps in the memory of a GPU, by formula."""

from typing import NamedTuple

__all__ = ['NetworkSize', 'activation_bytes', 'state_bytes', 'working_bytes']


class NetworkSize(NamedTuple):
    """Numbers of parameters, and the shape of the blocks.

    Args:
        block: Parameters of one block.
        around: Those of the trained network outside of its blocks:
            embeddings, last norm, projection.
        prototypes: K x D, trained and not averaged.
        width: D of a token.
        depth: Number of blocks.
        heads: Attention heads of a block.
        hidden: Width of the feed-forward layers.
    """

    block: int
    around: int
    prototypes: int
    width: int
    depth: int
    heads: int
    hidden: int

    @property
    def target(self) -> int:
        """Parameters of the target network."""
        return self.depth * self.block + self.around

    @property
    def trained(self) -> int:
        """Parameters with a gradient."""
        return self.target + self.prototypes


def state_bytes(size: NetworkSize, ranks: int = 1) -> dict[str, float]:
    r"""Bytes on each GPU that stay from step to step, all in float32.

    .. math:: \frac{1}{W} (4 P + 4 T + 4 P + 8 P)

    for weights, target, gradients and the two moments of AdamW, P trained and
    T averaged parameters. Without sharding, on any number of GPUs, W = 1.

    Args:
        size: Of the network.
        ranks: W, the GPUs that share them.

    Example:
        >>> state_bytes(NetworkSize(90, 9, 1, 8, 1, 1, 32), ranks=2)
        {'weights': 200.0, 'target': 198.0, 'gradients': 200.0, 'moments': 400.0}
    """
    parts = dict(
        weights=4 * size.trained,
        target=4 * size.target,
        gradients=4 * size.trained,
        moments=8 * size.trained,
    )
    return {name: value / ranks for name, value in parts.items()}


def working_bytes(size: NetworkSize, sharded: bool) -> int:
    """Bytes of weights on each GPU during a step in bfloat16, beside :func:`state_bytes`.

    Unsharded: the rounded weights of the blocks, kept for the backward pass.
    Sharded, with ``param_dtype='bfloat16'``: two blocks, one of which is on
    its way, a block's gradient rounded and in float32; and around the blocks
    both networks' weights and the gradient in float32.

    Args:
        size: Of the network.
        sharded: Whether :class:`ShardedRunner` trains it.
    """
    if not sharded:
        return 2 * size.depth * size.block
    return (2 * 2 + 2 + 4) * size.block + 4 * (3 * size.around + 2 * size.prototypes)


def activation_bytes(size: NetworkSize, tokens: int, recompute: bool = False) -> int:
    r"""Bytes that the blocks keep of an image for the backward pass, in bfloat16.

    Of a token a block of width D and hidden width H with h heads keeps

    .. math:: \underbrace{4 D + 4 D}_{\text{inputs of norms}}
        + \underbrace{2 D + 6 D + 2 D + 2 D}_{\text{attention}}
        + \underbrace{2 D + 2 H + 2 H}_{\text{feed-forward}} + 4 h + 16

    bytes: the residual stream in float32; what enters the projections,
    queries, keys and values, what leaves attention, before and after views of
    several sizes are joined; both sides of the non-linearity; the normalisers
    of attention, means and scales of the norms. The last block, which
    computes class tokens alone, keeps less. With recomputed blocks
    (``with_cp=True``) each keeps its input, 4 D, and one has all.

    Args:
        size: Of the network.
        tokens: Of all views of an image that pass the trained network.
        recompute: Whether blocks are computed again in the backward pass.

    Example:
        >>> activation_bytes(NetworkSize(0, 0, 0, 8, 2, 1, 32), tokens=1)
        648
    """
    block = 22 * size.width + 4 * size.hidden + 4 * size.heads + 16
    kept = size.depth * 4 * size.width + block if recompute else size.depth * block
    return tokens * kept

from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor

from ...errors import UserError

__all__ = ['TokenPool']

MODES = ('token', 'avg')


@MODELS.register_module()
class TokenPool(BaseModule):
    r"""One vector of the tokens of a transformer that does not pool them itself.

    .. math::
        \text{token: } y = x_1, \qquad
        \text{avg: } y = \frac{1}{N} \sum_{i=P+1}^{P+N} x_i

    over P prefix tokens (class token, registers) followed by N patches.
    MMPretrain's ``TIMMBackbone`` returns such tokens for timm's vision
    transformers, and for some others (Swin) maps with the channels last, whose
    positions are patches here (P = 0). It has no parameters:
    ``MSN(pool=...)`` applies it to both networks, and as the neck of an
    ``ImageClassifier`` it gives a head the same features.

    Args:
        mode: ``'token'`` for the first token, ``'avg'`` for the mean of the
            patches.
        num_prefix_tokens: P; 0 for a model without class token.

    Raises:
        ValueError: For another mode, a negative P, ``'token'`` without a
            prefix token, or an input that is neither (B, P + N, D) nor, for
            P = 0, (B, H, W, D).

    Example:
        >>> import torch
        >>> tokens = torch.tensor([[[9.0], [1.0], [2.0]]])
        >>> TokenPool('token')(tokens).tolist(), TokenPool('avg')(tokens).tolist()
        ([[9.0]], [[1.5]])
    """

    def __init__(self, mode: str = 'token', num_prefix_tokens: int = 1) -> None:
        super().__init__()
        if mode not in MODES:
            raise UserError(f'TokenPool: mode must be one of {MODES}, got {mode!r}')
        if num_prefix_tokens < 0:
            raise UserError(f'TokenPool: num_prefix_tokens must be >= 0, got {num_prefix_tokens}')
        if mode == 'token' and not num_prefix_tokens:
            raise UserError(
                "TokenPool: mode='token' takes the class token, but num_prefix_tokens=0 "
                "says that there is none: set mode='avg'"
            )
        self.mode = mode
        self.num_prefix_tokens = num_prefix_tokens

    def forward(self, inputs: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        """Pool (B, P + N, D), or (B, H, W, D), to (B, D); of a tuple, each entry."""
        if isinstance(inputs, tuple):
            return tuple(self._pool(tokens) for tokens in inputs)
        return self._pool(inputs)

    def _pool(self, tokens: Tensor) -> Tensor:
        if tokens.ndim == 4 and not self.num_prefix_tokens:
            tokens = tokens.flatten(1, 2)
        if tokens.ndim != 3 or tokens.shape[1] <= self.num_prefix_tokens:
            raise UserError(
                f'TokenPool got shape {tuple(tokens.shape)}, expected tokens (batch, '
                f'{self.num_prefix_tokens} prefix tokens + patches, width): maps with '
                'channels first and pooled features need no TokenPool, those with channels last '
                "mode='avg' and num_prefix_tokens=0"
            )
        return tokens[:, 0] if self.mode == 'token' else tokens[:, self.num_prefix_tokens :].mean(1)

from mmengine.model import BaseModule
from torch import Tensor, nn

from ...errors import UserError
from ..layers import PortableSyncBatchNorm

__all__ = ['ConvStem']


class ConvStem(BaseModule):
    """Convolutional patch embedding: 3x3 convolutions of stride 2, BN and GELU between them.

    Widths double up to that of the tokens. Not registered: :class:`MSNViT`
    makes it with ``stem='conv'``.

    Args:
        in_channels: Channels of the image.
        embed_dims: Width of the tokens.
        patch_size: Total stride; a power of two.
        input_size: (height, width) of the image the model is built for.

    Raises:
        ValueError: If patch_size is not a power of two of at least 2.

    References:
        Xiao et al., Early Convolutions Help Transformers See Better, NeurIPS 2021.
    """

    def __init__(
        self, in_channels: int, embed_dims: int, patch_size: int, input_size: tuple[int, int]
    ) -> None:
        super().__init__()
        stages = patch_size.bit_length() - 1
        if patch_size < 2 or patch_size != 2**stages:
            raise UserError(
                'a convolutional stem needs a patch_size that is a power of two >= 2, '
                f'got {patch_size}'
            )
        if embed_dims < 2**stages:
            raise UserError(
                f'a convolutional stem of patch_size {patch_size} needs arch.embed_dims >= '
                f'{2**stages}, got {embed_dims}'
            )
        self.init_out_size = (input_size[0] // patch_size, input_size[1] // patch_size)
        layers: list[nn.Module] = []
        for stage in range(1, stages):
            width = embed_dims >> (stages - stage)
            layers += [
                nn.Conv2d(in_channels, width, 3, stride=2, padding=1, bias=False),
                PortableSyncBatchNorm(width),
                nn.GELU(),
            ]
            in_channels = width
        self.convs = nn.Sequential(*layers)
        self.projection = nn.Conv2d(in_channels, embed_dims, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Tokens of shape (B, h * w, embed_dims) and their grid (h, w)."""
        x = self.projection(self.convs(x))
        return x.flatten(2).transpose(1, 2), (x.shape[2], x.shape[3])

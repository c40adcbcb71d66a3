from mmengine.model import BaseModule
from torch import Tensor, nn

__all__ = ['ConvStem']


class ConvStem(BaseModule):
    """Convolutional patch embedding: 3x3 convolutions of stride 2 with BN and ReLU, then 1x1.

    Args:
        in_channels: Channels of the image.
        embed_dims: Width of the tokens.
        patch_size: Total stride; a power of two.
        input_size: Side or (height, width) of the image the model is built for.

    Raises:
        ValueError: If patch_size is not a power of two of at least 2.

    References:
        Xiao et al., Early Convolutions Help Transformers See Better, NeurIPS 2021.
    """

    def __init__(self, in_channels: int, embed_dims: int, patch_size: int,
                 input_size: tuple[int, int]) -> None:
        super().__init__()
        stages = patch_size.bit_length() - 1
        if patch_size < 2 or patch_size != 2**stages:
            raise ValueError('a convolutional stem needs a patch_size that is a power of two >= 2, '
                             f'got {patch_size}')
        self.init_out_size = (input_size[0] // patch_size, input_size[1] // patch_size)
        layers: list[nn.Module] = []
        width = in_channels
        for stage in range(stages):
            out = max(embed_dims >> (stages - 1 - stage), 16)
            layers += [nn.Conv2d(width, out, 3, stride=2, padding=1, bias=False),
                       nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
            width = out
        self.convs = nn.Sequential(*layers)
        self.projection = nn.Conv2d(width, embed_dims, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Tokens of shape (B, h * w, embed_dims) and their grid (h, w)."""
        x = self.projection(self.convs(x))
        return x.flatten(2).transpose(1, 2), (x.shape[2], x.shape[3])

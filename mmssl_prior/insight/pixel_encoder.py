"""Raw pixels as features, where there is no encoder."""

from typing import Any

from mmengine.model import BaseModel
from mmpretrain.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

__all__ = ['PixelEncoder']


class PixelEncoder(BaseModel):
    """Images to their pixels: averaged down to 16 x 16, of three channels, as one vector.

    A last resort. Distances of pixels are those of layout and colour; what is
    in the picture, and where, changes all of them.

    Args:
        side: Height and width after averaging.
        size: Of the images it is given, as of
            :class:`~mmssl_prior.evaluation.encoder.Encoder`.
    """

    is_vit = False

    def __init__(self, side: int = 16, size: int = 64) -> None:
        preprocessor: Any = dict(
            type='ClsDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True
        )
        super().__init__(MODELS.build(preprocessor))
        self.side, self.size = side, size

    def forward(self, inputs: Tensor) -> Tensor:
        """Shape (B, 3, H, W) to (B, 3 side^2)."""
        return F.adaptive_avg_pool2d(inputs, self.side).flatten(1)

from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...errors import UserError

__all__ = ['MSNNeck']


@MODELS.register_module()
class MSNNeck(BaseModule):
    """Projection head of Masked Siamese Networks.

    Linear - BN - GELU - Linear - BN - GELU - Linear, with biases, weights
    from a truncated normal of standard deviation 0.02 and zero biases. Views
    of different size pass separately, so each group has batch statistics of
    its own.

    Args:
        in_channels: Width D of the backbone's output.
        hid_channels: Width of the two hidden layers.
        out_channels: Width of the embedding that is compared to prototypes.
        norm_cfg: Normalisation of the hidden layers, over all ranks by default.
        init_cfg: Overrides the initialisation.

    References:
        Assran et al., Masked Siamese Networks, ECCV 2022.
    """

    def __init__(
        self,
        in_channels: int,
        hid_channels: int = 2048,
        out_channels: int = 256,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='TruncNormal', layer='Linear', std=0.02))
        norm_cfg = norm_cfg or dict(type='PortableSyncBatchNorm')
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.fc1 = nn.Linear(in_channels, hid_channels)
        self.bn1 = MODELS.build(dict(norm_cfg, num_features=hid_channels))
        self.fc2 = nn.Linear(hid_channels, hid_channels)
        self.bn2 = MODELS.build(dict(norm_cfg, num_features=hid_channels))
        self.fc3 = nn.Linear(hid_channels, out_channels)
        self.activation = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        """Project features of shape (B, in_channels) to (B, out_channels)."""
        if x.ndim != 2 or x.shape[1] != self.in_channels:
            raise UserError(
                f'MSNNeck got features of shape {tuple(x.shape)}, expected '
                f'(batch, in_channels={self.in_channels}): set in_channels to the '
                "backbone's width and let the backbone pool its output"
            )
        x = self.activation(self.bn1(self.fc1(x)))
        x = self.activation(self.bn2(self.fc2(x)))
        return self.fc3(x)

"""An encoder between two formats: a config of MMPretrain's registry, and the weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ..errors import UserError, printable
from .vit_layout import ViTSizes

__all__ = ['IMAGENET_MEAN', 'IMAGENET_STD', 'EncoderWeights', 'FeatureModel', 'build']

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


class FeatureModel(nn.Module):
    """Normalised RGB images (B, C, H, W) to features (B, D), as the methods evaluate them.

    The last output of the backbone; of a map the mean over positions.

    Args:
        backbone: Of MMPretrain's registry.
        pool: Neck without weights that makes (B, D) of the output, or None.
    """

    def __init__(self, backbone: nn.Module, pool: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.pool = pool

    def forward(self, images: Tensor) -> Tensor:
        out = self.backbone(images)
        out = out[-1] if isinstance(out, (list, tuple)) else out
        if self.pool is not None:
            out = self.pool(out)
            out = out[-1] if isinstance(out, (list, tuple)) else out
        elif out.ndim == 4:
            out = out.mean((2, 3))
        return out


@dataclass
class EncoderWeights:
    """What is read from one format and written in another.

    Args:
        source: The file or folder it comes from.
        backbone: Config for MMPretrain's registry, without ``init_cfg``.
        state: Weights of the backbone, by its own names.
        sizes: Of a plain vision transformer with a class token, else None.
        neck: Weights of the projection, in the names of ``MSNNeck``; may be empty.
        prototypes: Shape (K, D), if there are any.
        trained_backbone: Weights of the trained network beside the target's,
            if the source holds both.
        trained_neck: Its projection.
        pool: Config of a neck that pools the backbone's output.
        mean: Of the channels R, G, B that images are normalised with, 0 to 255.
        std: Their standard deviations.
        image: (height, width) for examples and exports.
        licence: Terms of the weights; empty where the source does not say.
        notes: What the user should know: what was left out, what was assumed.
    """

    source: str
    backbone: dict[str, Any]
    state: dict[str, Tensor]
    sizes: ViTSizes | None = None
    neck: dict[str, Tensor] = field(default_factory=dict)
    prototypes: Tensor | None = None
    trained_backbone: dict[str, Tensor] = field(default_factory=dict)
    trained_neck: dict[str, Tensor] = field(default_factory=dict)
    pool: dict[str, Any] | None = None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    image: tuple[int, int] = (224, 224)
    licence: str = ''
    notes: list[str] = field(default_factory=list)

    @property
    def depth(self) -> int | None:
        """Of a plain ResNet, else None."""
        plain = {'type', 'depth', 'norm_cfg', 'norm_eval', 'frozen_stages', 'out_indices', 'style'}
        cfg = self.backbone
        if str(cfg.get('type')).split('.')[-1] != 'ResNet' or not set(cfg) <= plain:
            return None
        same = cfg.get('style', 'pytorch') == 'pytorch'
        same &= tuple(cfg.get('out_indices', (3,))) in ((3,), (0, 1, 2, 3))
        return cfg.get('depth') if same else None

    @property
    def timm_model(self) -> str | None:
        """Name in timm where the backbone wraps a model of timm, else None."""
        kind = str(self.backbone.get('type')).split('.')[-1]
        return self.backbone.get('model_name') if kind in ('TIMMViT', 'TIMMBackbone') else None

    def model(self) -> FeatureModel:
        """The encoder in MMPretrain, in eval mode, every weight loaded.

        Raises:
            UserError: If a weight is missing, unexpected, or of another shape.
        """
        built = build(self.backbone)
        load_strictly(built, self.state, self.source)
        pool = None if self.pool is None else build(self.pool)
        return FeatureModel(built, pool).eval().requires_grad_(False)

    def preprocessor(self) -> dict[str, Any]:
        """Config of MMPretrain's data preprocessor."""
        return dict(mean=list(self.mean), std=list(self.std), to_rgb=True)


def build(config: Mapping[str, Any]) -> Any:
    """A module of MMPretrain's registry, in its scope; random numbers go on as if it were not."""
    with DefaultScope.overwrite_default_scope('mmpretrain'), torch.random.fork_rng(devices=[]):
        return MODELS.build(dict(config))


def load_strictly(model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Loads weights, all of them and no others.

    Raises:
        UserError: With the first name that is missing, unexpected or of another shape.
    """
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name, shape in expected.items():
        found = tuple(state[name].shape) if name in state else 'missing'
        if found != shape:
            raise UserError(
                f'checkpoint {printable(source)}: {name}: {type(model).__name__} expects shape '
                f'{shape}, it is {found}'
            )
    for name in state:
        if name not in expected:
            raise UserError(
                f'checkpoint {printable(source)}: {name} {tuple(state[name].shape)} has no place '
                f'in {type(model).__name__}'
            )
    model.load_state_dict(dict(state), strict=True)

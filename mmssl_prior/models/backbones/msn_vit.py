from typing import Any

import torch
from mmengine.model.weight_init import trunc_normal_
from mmengine.utils import to_2tuple
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.utils import resize_pos_embed
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...errors import UserError
from .conv_stem import ConvStem

__all__ = ['MSNViT']


@MODELS.register_module()
class MSNViT(VisionTransformer):
    """MMPretrain's VisionTransformer with patch dropping, for any crop size.

    Dropped patches are removed after the position embedding is added, so they
    cost nothing; the class token is always kept. The embedding is resampled
    bicubically to the grid of the crop. With the plain stem the state dict is
    that of the stock VisionTransformer of the same arch.

    Initialisation as in the MSN release: linear weights, class token and
    position embedding from a truncated normal of standard deviation 0.02,
    linear biases 0, patch convolution by Kaiming's normal rule (fan-in).

    Args:
        stem: ``'patch'`` for the plain patch embedding, ``'conv'`` for a
            convolutional one (:class:`ConvStem`), which takes off sooner on
            small images but has keys of its own.
        **kwargs: Those of ``mmpretrain.models.VisionTransformer`` (arch,
            img_size, patch_size, out_type, with_cls_token, drop_path_rate ...).

    Raises:
        ValueError: For another stem, or an image whose sides the patch size
            does not divide.

    References:
        Assran et al., Masked Siamese Networks, ECCV 2022.
    """

    patch_embed: Any

    def __init__(self, *args, stem: str = 'patch', **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if stem not in ('patch', 'conv'):
            raise UserError(f"stem must be 'patch' or 'conv', got {stem!r}")
        plain = self.patch_embed.projection
        self.patch_size = to_2tuple(plain.stride)
        self.token_grid(self.img_size)
        if stem == 'conv':
            self.patch_embed = ConvStem(
                plain.in_channels, self.embed_dims, self.patch_size[0], self.img_size
            )

    def init_weights(self) -> None:
        super().init_weights()
        if isinstance(self.init_cfg, dict) and self.init_cfg['type'] == 'Pretrained':
            return
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_in')
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.cls_token is not None:
            trunc_normal_(self.cls_token, std=0.02)

    def token_grid(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of patches of an image of (height, width)."""
        (height, width), (ph, pw) = image_size, self.patch_size
        if height % ph or width % pw:
            raise UserError(
                f'a crop of {height}x{width} px is not divisible into patches of '
                f'{ph}x{pw}: choose crop sizes that are multiples of the patch size'
            )
        return height // ph, width // pw

    def forward(self, x: Tensor, keep: Tensor | None = None) -> tuple[Tensor, ...]:
        """Encode a batch of images.

        Args:
            x: Images of shape (B, C, H, W); patch size divides H and W.
            keep: Indices of the patches that remain (0 is the first patch,
                not the class token), shape (n,) for the whole batch or (B, n).

        Returns:
            Outputs of the blocks in ``out_indices`` as ``out_type`` says.
        """
        self.token_grid((x.shape[-2], x.shape[-1]))
        tokens, grid = self.patch_embed(x)
        if self.cls_token is not None:
            tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], 1)
        tokens = tokens + resize_pos_embed(
            self.pos_embed,
            self.patch_resolution,
            grid,
            self.interpolate_mode,
            self.num_extra_tokens,
        )
        if keep is not None:
            if self.out_type == 'featmap':
                raise UserError(
                    "patches cannot be dropped with out_type='featmap': use "
                    "'cls_token', 'avg_featmap' or 'raw'"
                )
            tokens = self._take(tokens, keep)
        tokens = self.pre_norm(self.drop_after_pos(tokens))

        outs = []
        for i, layer in enumerate(self.layers):
            tokens = layer(tokens)
            if i == len(self.layers) - 1 and self.final_norm:
                tokens = self.ln1(tokens)
            if i in self.out_indices:
                outs.append(self._format_output(tokens, grid))
        return tuple(outs)

    def _take(self, tokens: Tensor, keep: Tensor) -> Tensor:
        extra, patches = tokens.split(
            [self.num_extra_tokens, tokens.shape[1] - self.num_extra_tokens], 1
        )
        if keep.ndim == 1:
            patches = patches.index_select(1, keep)
        else:
            patches = patches.gather(1, keep.unsqueeze(-1).expand(-1, -1, patches.shape[-1]))
        return torch.cat([extra, patches], 1)

import math

import torch
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.models.backbones import BEiTViT
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...errors import UserError

__all__ = ['Data2VecViT']


@MODELS.register_module()
class Data2VecViT(BEiTViT):
    r"""MMPretrain's BEiTViT with patches replaced by a mask token, and its layers on offer.

    Positions enter through one relative position bias that all layers share;
    there is no absolute position embedding. State keys are those of the stock
    class with ``use_rel_pos_bias=False, use_shared_rel_pos_bias=True,
    final_norm=True, out_type='featmap'``; the mask token belongs to the
    algorithm, as evaluation never sees it.

    Two mistakes of the stock layers are corrected, which change training
    only: they ignore ``attn_drop_rate``, and apply stochastic depth twice to
    the feed-forward branch.

    Initialisation as released: weights of linear layers and convolution and
    the class token from a truncated normal of standard deviation 0.02, cut at
    one, biases 0; the last matrices of layer l (from 1) divided by
    :math:`\sqrt{2 l}`; relative position bias 0. An ``init_cfg`` takes the place of
    all that: in narrow networks these weights are so small that the blocks
    hardly differ from the identity.

    Args:
        arch: As for BEiTViT, ``'base'`` or a dict of sizes.
        img_size: Height and width of images; other sizes do not fit the bias.
        patch_size: Patch size; it divides img_size.
        drop_path_rate: Stochastic depth of the last layer, rising linearly.
        attn_drop_rate: Dropout of attention weights.
        layer_scale_init_value: Start of the learned scale of each branch.
        **kwargs: Others of ``mmpretrain.models.BEiTViT``.

    Raises:
        ValueError: If the patch size does not divide the image, or images of
            another size come.

    References:
        Bao et al., BEiT, ICLR 2022; Baevski et al., data2vec, ICML 2022.
    """

    def __init__(
        self,
        arch: str | dict = 'base',
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        drop_path_rate: float = 0.25,
        attn_drop_rate: float = 0.05,
        layer_scale_init_value: float = 1e-4,
        **kwargs,
    ) -> None:
        layer_cfgs = dict(
            attn_cfg=dict(attn_drop_rate=attn_drop_rate),
            ffn_cfg=dict(add_identity=False, dropout_layer=None),
        )
        settings: dict = dict(
            final_norm=True,
            out_type='featmap',
            use_abs_pos_emb=False,
            use_rel_pos_bias=False,
            use_shared_rel_pos_bias=True,
            layer_cfgs=layer_cfgs,
        )
        super().__init__(
            arch=arch,
            img_size=img_size,
            patch_size=patch_size,
            drop_path_rate=drop_path_rate,
            layer_scale_init_value=layer_scale_init_value,
            **(settings | kwargs),
        )
        if any(size % patch_size for size in self.img_size):
            raise UserError(
                f'img_size={self.img_size} is not divisible into patches of {patch_size} px: '
                'choose a multiple of the patch size'
            )

    def init_weights(self) -> None:
        super().init_weights()
        if self.init_cfg:
            return
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                trunc_normal_(module.weight, std=0.02, a=-0.02, b=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.cls_token is not None:
            trunc_normal_(self.cls_token, std=0.02, a=-0.02, b=0.02)
        with torch.no_grad():
            for i, layer in enumerate(self.layers, start=1):
                for matrix in (layer.attn.proj.weight, layer.ffn.layers[1].weight):
                    matrix.div_(math.sqrt(2 * i))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Features as BEiTViT gives them, of images of shape (B, C, H, W)."""
        self._check_size(x)
        return super().forward(x)

    def block_outputs(
        self,
        x: Tensor,
        last: int = 1,
        mask: Tensor | None = None,
        mask_token: Tensor | None = None,
    ) -> list[Tensor]:
        """Patch tokens behind the last blocks, before the final LayerNorm.

        Args:
            x: Images of shape (B, C, H, W).
            last: How many blocks, counted from the end.
            mask: Patches to hide, bool of shape (B, N).
            mask_token: What takes their place, shape (1, 1, D).

        Returns:
            Tensors of shape (B, N, D), in the order of the blocks.
        """
        self._check_size(x)
        tokens, _ = self.patch_embed(x)
        if mask is not None:
            assert mask_token is not None
            tokens = torch.where(mask.unsqueeze(-1), mask_token.to(tokens.dtype), tokens)
        extra = self.num_extra_tokens
        if self.cls_token is not None:
            tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], 1)
        if self.pos_embed is not None:
            tokens = tokens + self.pos_embed
        tokens = self.drop_after_pos(tokens)
        bias = None if self.rel_pos_bias is None else self.rel_pos_bias()
        outputs: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            tokens = layer(tokens, bias)
            if i >= len(self.layers) - last:
                outputs.append(tokens[:, extra:])
        return outputs

    def _check_size(self, x: Tensor) -> None:
        if tuple(x.shape[-2:]) != tuple(self.img_size):
            raise UserError(
                f'images of {tuple(x.shape[-2:])} px for a backbone of img_size={self.img_size}, '
                'whose relative position bias fits no other: make crop and img_size equal'
            )

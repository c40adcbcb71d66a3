import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.model.weight_init import trunc_normal_
from mmengine.utils import to_2tuple
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.utils import resize_pos_embed
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...errors import UserError
from ...functional import take_patches
from .conv_stem import ConvStem
from .packed_blocks import (
    can_pack,
    class_token_block,
    drop_path_scales,
    pack,
    packed_block,
    run_block,
    unpack,
)

__all__ = ['MSNViT']

# The letters of the literature, and what MMPretrain calls the same widths. Its own 'small' is
# another network: width 768, depth 8, 8 heads.
SIZES = dict(ti='deit-tiny', s='deit-small', b='base', l='large', h='huge')


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
        arch: A name of the literature, which sets width, depth, heads and
            patch size::

                vit-ti/16   width  192, depth 12,  3 heads
                vit-s/16    width  384, depth 12,  6 heads (MMPretrain's 'deit-small')
                vit-b/16    width  768, depth 12, 12 heads
                vit-l/16    width 1024, depth 24, 16 heads
                vit-h/14    width 1280, depth 32, 16 heads

            and each with another patch size: ``'vit-b/4'``, ``'vit-l/7'``,
            ``'vit-l/14'`` (crop sizes must be its multiples: 98 px, not 96,
            for 7 and 14). Or an arch of MMPretrain's VisionTransformer, a
            name or a dict; its ``'small'`` is not ViT-S but 768 wide with 8
            blocks of 8 heads.
        img_size: Side, or (height, width), of the image that the position
            embedding is made for; other crops resample it.
        patch_size: Side of a patch. Defaults to that of the name, else 16.
        stem: ``'patch'`` for the plain patch embedding, ``'conv'`` for a
            convolutional one (:class:`ConvStem`), which takes off sooner on
            small images but has keys of its own.
        with_cp: Recompute each block in the backward pass instead of keeping
            its activations: a third more work, a fraction of the memory.
        **kwargs: Those of ``mmpretrain.models.VisionTransformer`` (out_type,
            with_cls_token, drop_path_rate ...).

    Raises:
        ValueError: For another arch or stem, a patch_size that contradicts
            the name, or an image whose sides the patch size does not divide.

    Example:
        >>> vit = MSNViT('vit-ti/32', img_size=64)
        >>> vit.embed_dims, vit.patch_size
        (192, (32, 32))

    References:
        Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021;
        Assran et al., Masked Siamese Networks, ECCV 2022.
    """

    #: Whether blocks are run as modules in training too: for hooks on them, and to compare.
    blocks_as_modules = False
    patch_embed: Any

    def __init__(
        self,
        arch: str | dict = 'base',
        img_size: int | tuple[int, int] = 224,
        patch_size: int | tuple[int, int] | None = None,
        *args,
        stem: str = 'patch',
        with_cp: bool = False,
        **kwargs,
    ) -> None:
        arch, patch_size = _resolve(arch, patch_size)
        super().__init__(arch, img_size, patch_size, *args, **kwargs)
        if stem not in ('patch', 'conv'):
            raise UserError(f"stem must be 'patch' or 'conv', got {stem!r}")
        heads = self.arch_settings['num_heads']
        if self.embed_dims % heads:
            raise UserError(
                f'arch.embed_dims={self.embed_dims} must be a multiple of arch.num_heads={heads}'
            )
        self.with_cp = with_cp
        self._packed_block: Callable[..., Tensor] = packed_block
        self._class_token_block: Callable[..., Tensor] = class_token_block
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
                f'{ph}x{pw}: choose crop sizes (scale, img_size) that are multiples of patch_size'
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
        return self.forward_groups([x], [keep])[0]

    def forward_groups(
        self, images: Sequence[Tensor], keeps: Sequence[Tensor | None]
    ) -> list[tuple[Tensor, ...]]:
        """Encode batches of images of several sizes in one pass.

        Norms, projections and feed-forward layers see the tokens of all
        batches as one matrix; attention stays within each image. The same as
        :meth:`forward` on each batch, up to rounding.

        Args:
            images: Batches of shape (B_g, C, H_g, W_g).
            keeps: For each batch what :meth:`forward` takes.

        Returns:
            For each batch what :meth:`forward` returns.
        """
        pairs = [self._embed(x, keep) for x, keep in zip(images, keeps)]
        grids = [grid for _, grid in pairs]
        if self._packs():
            return self._packed([tokens for tokens, _ in pairs], grids)
        return [self._blocks(tokens, grid) for tokens, grid in pairs]

    def compile_blocks(self, **kwargs) -> None:
        """Compile the blocks for training; state keys, names and evaluation stay as they are.

        All blocks share one graph for each set of shapes. Keep the shapes of a
        training fixed (``drop_last=True``).

        Args:
            **kwargs: Those of ``torch.compile``; ``dynamic=False`` by default.
        """
        kwargs = dict(dynamic=False) | kwargs
        self._packed_block = torch.compile(packed_block, **kwargs)
        self._class_token_block = torch.compile(class_token_block, **kwargs)

    def _embed(self, x: Tensor, keep: Tensor | None) -> tuple[Tensor, tuple[int, int]]:
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
            tokens = take_patches(tokens, keep, self.num_extra_tokens)
        return self.pre_norm(self.drop_after_pos(tokens)), grid

    def _packs(self) -> bool:
        """Whether blocks are run by the functions of ``packed_blocks``, and not as modules.

        In evaluation they are modules: their hooks are called, and features are the stock ones.
        """
        if self.blocks_as_modules or not self.training:
            return False
        return all(can_pack(layer) for layer in self.layers)

    def _blocks(self, tokens: Tensor, grid: tuple[int, int]) -> tuple[Tensor, ...]:
        outs = []
        for i, layer in enumerate(self.layers):
            tokens = self._checkpointed(layer, tokens)
            if i == len(self.layers) - 1 and self.final_norm:
                tokens = self.ln1(tokens)
            if i in self.out_indices:
                outs.append(self._format_output(tokens, grid))
        return tuple(outs)

    def _packed(
        self, groups: list[Tensor], grids: list[tuple[int, int]]
    ) -> list[tuple[Tensor, ...]]:
        rows, shapes = pack(groups)
        outs: list[list[Tensor]] = [[] for _ in groups]
        last = len(self.layers) - 1
        for i, layer in enumerate(self.layers):
            class_tokens = i == last and self.out_type == 'cls_token'
            block = self._class_token_block if class_tokens else self._packed_block
            before = shapes
            if class_tokens:
                shapes = tuple((b, 1) for b, _ in shapes)
            scales = drop_path_scales(layer, rows, shapes)
            rows = self._checkpointed(run_block, block, layer, rows, before, scales)
            if i == last and self.final_norm:
                rows = self.ln1(rows)
            if i in self.out_indices:
                for out, tokens, grid in zip(outs, unpack(rows, shapes), grids):
                    out.append(self._format_output(tokens, grid))
        return [tuple(out) for out in outs]

    def _checkpointed(self, block: Callable[..., Tensor], *args) -> Tensor:
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(block, *args, use_reentrant=False)
        return block(*args)


def _resolve(
    arch: str | dict, patch_size: int | tuple[int, int] | None
) -> tuple[str | dict, int | tuple[int, int]]:
    """An arch of MMPretrain's VisionTransformer, and the patch size."""
    if not isinstance(arch, str) or arch.lower() in VisionTransformer.arch_zoo:
        return arch, 16 if patch_size is None else patch_size
    named = re.fullmatch(r'vit-([a-z]+)/([1-9]\d*)', arch.lower())
    if named is None or named[1] not in SIZES:
        raise UserError(
            f'unknown arch {arch!r}: choose vit-<size>/<patch size> with a size of '
            f"{', '.join(SIZES)} (such as 'vit-b/16'), or one of MMPretrain's: "
            f'{", ".join(sorted(VisionTransformer.arch_zoo))}'
        )
    patch = int(named[2])
    if patch_size is not None and to_2tuple(patch_size) != (patch, patch):
        raise UserError(
            f'arch {arch!r} has patches of {patch} px, but patch_size={patch_size}: '
            'leave patch_size out, or name another arch'
        )
    return SIZES[named[1]], patch

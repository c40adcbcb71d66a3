from mmpretrain.models.backbones import TIMMBackbone
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...errors import UserError
from ...functional import take_patches

__all__ = ['TIMMViT']


class _KeptPatches(nn.Module):
    """Keeps the patches in ``keep``; all, while it is None."""

    def __init__(self, num_prefix_tokens: int) -> None:
        super().__init__()
        self.num_prefix_tokens = num_prefix_tokens
        self.keep: Tensor | None = None

    def forward(self, tokens: Tensor) -> Tensor:
        if self.keep is None:
            return tokens
        return take_patches(tokens, self.keep, self.num_prefix_tokens)


@MODELS.register_module()
class TIMMViT(TIMMBackbone):
    """A vision transformer of timm with patch dropping, for any crop size.

    MMPretrain's ``TIMMBackbone`` with ``dynamic_img_size=True`` (timm
    resamples the position embedding to each crop's grid) and an argument
    ``keep``. Dropped patches are removed where timm's own dropout of patches
    would do it, after the position embedding and before the blocks; class
    token and registers are kept. State keys, initialisation and output are
    those of ``TIMMBackbone``: a tuple with all tokens after the final norm,
    which ``MSN(pool=dict(type='TokenPool'))`` pools.

    Other models of timm (convolutional or windowed) train with
    ``TIMMBackbone`` itself and ``patch_drop=0``.

    Args:
        model_name: A ``VisionTransformer`` of timm, such as
            ``'vit_small_patch16_224'`` or ``'deit3_base_patch16_224'``.
        **kwargs: Those of ``TIMMBackbone`` and of the model in timm
            (pretrained, img_size, drop_path_rate ...).

    Raises:
        ValueError: If the model is none of timm's plain vision transformers,
            ``patch_drop_rate`` is set (it would drop patches of every view,
            the target's too), or the patch size does not divide a crop.

    References:
        Wightman, PyTorch Image Models.
    """

    def __init__(self, model_name: str, **kwargs) -> None:
        if kwargs.pop('patch_drop_rate', 0):
            raise UserError(
                "TIMMViT: timm's patch_drop_rate drops patches of every view, the target's "
                "too: leave it out, and set the model's patch_drop"
            )
        import timm
        from timm.models.vision_transformer import VisionTransformer

        if ':' not in model_name and not timm.is_model(model_name):
            raise UserError(
                f'TIMMViT: timm {timm.__version__} has no model {model_name!r}; '
                "timm.list_models('vit*') lists the names"
            )
        kwargs.setdefault('dynamic_img_size', True)
        try:
            super().__init__(model_name, **kwargs)
        except TypeError as error:  # how timm says that a model has no such argument
            raise UserError(
                f'TIMMViT: timm does not build {model_name!r} with {sorted(kwargs)} ({error}); '
                'a model that is no plain vision transformer trains with '
                "type='TIMMBackbone' and patch_drop=0"
            ) from error
        vit = self.timm_model
        if not isinstance(vit, VisionTransformer) or not hasattr(vit, 'patch_drop'):
            raise UserError(
                f"TIMMViT: {model_name!r} is a {type(vit).__name__}, not timm's plain "
                "VisionTransformer: use type='TIMMBackbone' and patch_drop=0"
            )
        # The slot of timm's PatchDropout, an identity while patch_drop_rate is 0.
        vit.patch_drop = _KeptPatches(vit.num_prefix_tokens)

    def token_grid(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of patches of an image of (height, width)."""
        (height, width), (ph, pw) = image_size, self.timm_model.patch_embed.patch_size
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
                after class token and registers), shape (n,) for the whole
                batch or (B, n).

        Returns:
            A tuple with the tokens, shape (B, prefix + patches, D).
        """
        self.token_grid((x.shape[-2], x.shape[-1]))
        slot = self.timm_model.patch_drop
        slot.keep = keep
        try:
            return super().forward(x)
        finally:
            slot.keep = None

import torch
from mmpretrain.models.selfsup import MAEViT
from mmpretrain.registry import MODELS
from torch import Tensor

from ...errors import UserError

__all__ = ['SeededMAEViT']


@MODELS.register_module()
class SeededMAEViT(MAEViT):
    """MMPretrain's MAEViT, hiding the patches that it is told to hide.

    The stock class draws masks from torch's global generator, so that they
    depend on the number of ranks and cannot be drawn again after a resume.
    Here they come with the images (:class:`SeededRandomMask`). State keys,
    initialisation and features are those of the stock class. What patches
    are visible is kept in the order of the image.

    Args:
        out_type: Features of unmasked images; ``'cls_token'`` is what MAE's
            linear evaluation reads.
        **kwargs: Those of ``mmpretrain.models.MAEViT``; ``mask_ratio`` has no
            effect, as the mask says it.

    Raises:
        ValueError: For an out_type with parameters that pretraining never
            uses, masks of another shape, or unequal numbers of hidden patches.

    References:
        He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022.
    """

    def __init__(self, *args, out_type: str = 'cls_token', **kwargs) -> None:
        if out_type == 'avg_featmap':
            raise UserError(
                "out_type='avg_featmap' has a LayerNorm that pretraining never trains: use "
                "'featmap' (averaged over positions in evaluation) or 'cls_token'"
            )
        super().__init__(*args, out_type=out_type, **kwargs)

    def forward(self, x: Tensor, mask: Tensor | None = None):
        """Encode visible patches, or without a mask compute features.

        Args:
            x: Images of shape (B, C, H, W).
            mask: Patches to hide, bool of shape (B, N), equally many in each
                image; None hides none.

        Returns:
            With a mask: tokens (B, 1 + visible, D), the mask as float of
            shape (B, N), and the indices (B, N) that bring visible and then
            hidden patches into the order of the image. Without: a tuple as
            from VisionTransformer.
        """
        if mask is None:
            return super().forward(x, mask=None)
        tokens = self.patch_embed(x)[0]
        if not isinstance(mask, Tensor) or mask.shape != tokens.shape[:2]:
            shape = tuple(mask.shape) if isinstance(mask, Tensor) else mask
            raise UserError(
                f'the mask must be bool of shape {tuple(tokens.shape[:2])} (images, patches), '
                f'got {shape}: let SeededRandomMask have the grid of the backbone'
            )
        fewest, most = (~mask).sum(1).aminmax()
        visible = int(most)
        if int(fewest) != visible or not visible:
            raise UserError(
                f'between {int(fewest)} and {visible} patches are visible in images of one batch: '
                'each must have equally many, and at least one'
            )
        # Stable, so that visible patches come first and in the order of the image.
        order = mask.byte().argsort(dim=1, stable=True)
        tokens = tokens + self.pos_embed[:, 1:]
        kept = order[:, :visible].unsqueeze(-1).expand(-1, -1, tokens.shape[-1])
        cls_token = (self.cls_token + self.pos_embed[:, :1]).expand(len(tokens), -1, -1)
        tokens = torch.cat([cls_token, tokens.gather(1, kept)], 1)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.ln1(tokens), mask.float(), order.argsort(dim=1)

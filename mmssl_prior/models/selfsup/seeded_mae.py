from mmpretrain.models.selfsup import MAE
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from .batch_masks import batch_masks
from .finite_loss import FiniteLoss

__all__ = ['SeededMAE']


@MODELS.register_module()
class SeededMAE(FiniteLoss, MAE):
    r"""MMPretrain's MAE with masks that come with the images.

    .. math:: L = \frac{1}{|M|\, P} \sum_{i \in M} \| \hat x_i - \mathrm{norm}(x_i) \|^2

    over the hidden patches M of P values each; norm subtracts a patch's mean
    and divides by its standard deviation (``norm_pix``). Masks are a function
    of (seed, epoch, image), whatever the number of ranks and also after a
    resume. Decoder, head and state keys are MMPretrain's; with the loss
    :class:`MaskedRegressionLoss` the mean is global.

    Evaluation (``mode='tensor'``) is of the whole image without a mask; which
    token is read is the backbone's ``out_type``.

    Args:
        backbone: Config of :class:`SeededMAEViT`.
        neck: Config of ``MAEPretrainDecoder``.
        head: Config of ``MAEPretrainHead``.
        data_preprocessor: Config, ``SelfSupDataPreprocessor`` by default.
        init_cfg: Initialisation config.

    Raises:
        ValueError: If images come without masks, or with masks of another
            shape than the backbone's grid.

    References:
        He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022.
    """

    def loss(
        self, inputs: Tensor, data_samples: list[DataSample] | None = None, **kwargs
    ) -> dict[str, Tensor]:
        """Reconstruction loss of images (B, C, H, W) whose samples carry ``mask``."""
        mask = batch_masks(data_samples, self.backbone.patch_resolution, 'SeededRandomMask')
        latent, hidden, restore = self.backbone(inputs, mask)
        return dict(loss=self.head.loss(self.neck(latent, restore), inputs, hidden))

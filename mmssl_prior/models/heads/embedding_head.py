import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor

from ...functional import spherical_variance

__all__ = ['EmbeddingHead']


@MODELS.register_module()
class EmbeddingHead(BaseModule):
    """A loss on the embeddings of two views, for methods without prototypes.

    Nothing in it is learned. Without prototypes there is no distribution over
    them that a prior could be given for.

    Args:
        loss: Config of a loss that takes embeddings of shape (2, B, D) and
            returns its terms by name: :class:`NTXentLoss`, :class:`VICRegLoss`.
        init_cfg: Initialisation config.
    """

    def __init__(self, loss: dict, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.loss_module = MODELS.build(loss)

    def loss(self, z: Tensor) -> dict[str, Tensor]:
        """Terms of the loss and a diagnostic, all global (equal on all ranks).

        Args:
            z: Embeddings of two views, shape (2, B, D); B may differ between
                ranks.

        Returns:
            The terms of the loss, and ``spherical_variance`` of the
            embeddings: 0 is collapse onto one direction.
        """
        # In float32 also under autocast: similarities / 0.1 and covariances need the digits.
        with torch.autocast(z.device.type, enabled=False):
            z = z.to(torch.promote_types(z.dtype, torch.float32))
            return dict(**self.loss_module(z), spherical_variance=spherical_variance(z))

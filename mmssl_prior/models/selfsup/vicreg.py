from collections.abc import Sequence

import torch
from mmpretrain.registry import MODELS
from torch import Tensor

from .joint_embedding import JointEmbedding

__all__ = ['VICReg']


@MODELS.register_module()
class VICReg(JointEmbedding):
    """Variance-Invariance-Covariance Regularisation.

    The views pass the network one after the other, so each has batch
    statistics of its own, as released. The expander is MMPretrain's
    ``NonLinearNeck`` with three layers, bias but in the last, no norm at the
    end; the loss :class:`VICRegLoss` in an :class:`EmbeddingHead`.

    State keys: ``backbone``, ``neck``. Arguments: see :class:`JointEmbedding`.

    References:
        Bardes, Ponce, LeCun, VICReg, ICLR 2022.
    """

    def embed(self, views: Sequence[Tensor]) -> Tensor:
        return torch.stack([self.project(view) for view in views])

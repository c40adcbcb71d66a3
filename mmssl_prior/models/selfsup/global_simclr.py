from collections.abc import Sequence

import torch
from mmpretrain.registry import MODELS
from torch import Tensor

from .joint_embedding import JointEmbedding

__all__ = ['GlobalSimCLR']


@MODELS.register_module()
class GlobalSimCLR(JointEmbedding):
    """SimCLR with the loss and the gradient of the global batch.

    Both views pass the network together, as released, and the head compares
    each embedding with all others on all ranks: with
    ``head=dict(type='EmbeddingHead', loss=dict(type='NTXentLoss'))``.

    MMPretrain's ``SimCLR`` gathers the embeddings of all ranks too, but in the
    backward pass drops what the other ranks' losses say about this rank's
    embeddings: under DistributedDataParallel on W ranks its gradient is 1 / W
    of that of one process on the whole batch. Here both are the same.

    State keys: ``backbone``, ``neck``; those of MMPretrain's ``SimCLR`` with
    the same backbone and neck. Arguments: see :class:`JointEmbedding`.

    References:
        Chen et al., A Simple Framework for Contrastive Learning of Visual
        Representations, ICML 2020.
    """

    def embed(self, views: Sequence[Tensor]) -> Tensor:
        z = self.project(torch.cat(list(views)))
        return z.view(len(views), -1, z.shape[-1])

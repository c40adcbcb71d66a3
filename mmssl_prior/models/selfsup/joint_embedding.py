from collections.abc import Sequence

from mmpretrain.models.selfsup import BaseSelfSupervisor
from mmpretrain.structures import DataSample
from torch import Tensor

from ...errors import UserError
from .finite_loss import FiniteLoss
from .micro_batches import in_micro_batches

__all__ = ['JointEmbedding']


class JointEmbedding(FiniteLoss, BaseSelfSupervisor):
    """Base of methods that embed several views of an image by one trained network.

    ``mode='tensor'`` gives the backbone's pooled features. A subclass writes
    :meth:`embed`, which decides what passes the network together and so
    shares its batch statistics.

    Args:
        backbone: Config.
        neck: Config of the projection; it takes the backbone's tuple of
            outputs.
        head: Config of a head whose ``loss`` takes embeddings (V, B, D).
        data_preprocessor: Config, ``SelfSupDataPreprocessor`` by default.
        init_cfg: Initialisation config.
        micro_batch: Images that pass the backbone at a time, 0 for all. The
            gradient is that of the whole batch, in the memory of a small one,
            for a forward pass more; but batch normalisation within the
            backbone has the statistics of each part. Neck and loss see the
            whole batch.
    """

    #: Number of views, or None for any number from two on.
    num_views: int | None = 2

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
        micro_batch: int = 0,
    ) -> None:
        super().__init__(
            backbone=backbone,
            neck=neck,
            head=head,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        if not (isinstance(micro_batch, int) and micro_batch >= 0):
            raise UserError(f'micro_batch must be an integer >= 0, got {micro_batch!r}')
        self.micro_batch = micro_batch

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Features of the backbone, averaged over positions, shape (B, C)."""
        out = self.backbone(inputs)
        out = out[-1] if isinstance(out, (list, tuple)) else out
        return out.mean((-2, -1)) if out.ndim == 4 else out

    def embed(self, views: Sequence[Tensor]) -> Tensor:
        """Embeddings of shape (V, B, D) of V views of shape (B, 3, H, W)."""
        raise NotImplementedError

    def encode(self, images: Tensor):
        """What the backbone makes of images that pass it together."""
        return in_micro_batches(self.backbone, self.micro_batch, images)

    def project(self, images: Tensor) -> Tensor:
        """Embeddings of shape (B, D) of images that pass the network together."""
        out = self.neck(self.encode(images))
        return out[-1] if isinstance(out, (list, tuple)) else out

    def loss(
        self, inputs: Sequence[Tensor], data_samples: list[DataSample] | None = None
    ) -> dict[str, Tensor]:
        """Losses and diagnostics of the head on a batch of views.

        Args:
            inputs: Views of shape (B, C, H, W).
            data_samples: Not used.
        """
        self._check_views(inputs)
        return self.head.loss(self.embed(inputs))

    def _check_views(self, inputs: Sequence[Tensor]) -> None:
        views = len(inputs) if isinstance(inputs, (list, tuple)) else 1
        if views != self.num_views if self.num_views else views < 2:
            wanted = self.num_views or 'at least two'
            raise UserError(
                f'{type(self).__name__} got {views} views of each image, expected {wanted}: let '
                'the train pipeline end with SeededMultiView and PackInputs'
            )

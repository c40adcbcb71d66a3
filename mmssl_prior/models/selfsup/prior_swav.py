from collections.abc import Sequence
from itertools import groupby

import torch
from mmengine import dist
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.nn import functional as F

from ...errors import UserError
from ...functional import gather_rows
from .joint_embedding import JointEmbedding

__all__ = ['PriorSwAV']


@MODELS.register_module()
class PriorSwAV(JointEmbedding):
    """SwAV whose assignments are balanced over all ranks, to any prior.

    Views of one size pass the backbone together, all views the neck, as
    released. Prototypes, prior and loss are in :class:`PriorSwAVHead`; a
    uniform prior is SwAV.

    With a queue, embeddings of earlier steps are balanced along with those of
    the batch, for batches that are small beside the number of prototypes. It
    holds the last ``queue_length`` images of all ranks, newest first, is used
    once it is full, and is the same on all ranks; each balances a share of
    it. So a checkpoint holds it whole, and training may be resumed with
    another number of ranks. (The release keeps a part on each rank and saves
    these beside the checkpoint.)

    ``SwAVScheduleHook`` says when the queue starts and how long prototypes
    stay frozen. State keys: ``backbone``, ``neck``, ``head.prototypes``,
    ``queue``, ``queue_filled``.

    Args:
        backbone: Config of one that gives feature maps.
        neck: Config, MMPretrain's ``SwAVNeck``.
        head: Config of :class:`PriorSwAVHead`.
        queue_length: Images in the queue, over all ranks; 0 for none.
        data_preprocessor: Config, ``SelfSupDataPreprocessor`` by default.
        init_cfg: Initialisation config.
        micro_batch: As in :class:`JointEmbedding`.

    Raises:
        ValueError: If queue_length is negative.

    References:
        Caron et al., Unsupervised Learning of Visual Features by Contrasting
        Cluster Assignments, NeurIPS 2020.
    """

    num_views = None
    queue: Tensor
    queue_filled: Tensor

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        queue_length: int = 0,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
        micro_batch: int = 0,
    ) -> None:
        super().__init__(backbone, neck, head, data_preprocessor, init_cfg, micro_batch)
        if not (isinstance(queue_length, int) and queue_length >= 0):
            raise UserError(f'queue_length must be an integer >= 0, got {queue_length}')
        self.queue_length = queue_length
        self.queue_started = True
        self._queue_full = False
        if queue_length:
            width = self.head.prototypes.shape[1]
            self.register_buffer(
                'queue', torch.zeros(self.head.assigned_views, queue_length, width)
            )
            self.register_buffer('queue_filled', torch.tensor(0))
            self._register_load_state_dict_pre_hook(self._forget_that_it_was_full)

    def start_queue(self, started: bool = True) -> None:
        """Whether embeddings are queued (and, once the queue is full, used)."""
        self.queue_started = started

    def embed(self, views: Sequence[Tensor]) -> Tensor:
        groups = [list(group) for _, group in groupby(views, key=lambda view: view.shape)]
        z = self.neck([self.encode(torch.cat(group)) for group in groups])
        return F.normalize(z, dim=-1).view(len(views), -1, z.shape[-1])

    def assign(self, inputs: Tensor) -> Tensor:
        """Log-predictions over prototypes, shape (B, K)."""
        return self.head.log_probs(self.neck([self.backbone(inputs)]))

    def loss(
        self, inputs: Sequence[Tensor], data_samples: list[DataSample] | None = None
    ) -> dict[str, Tensor]:
        """Losses and diagnostics of :meth:`PriorSwAVHead.loss` on a batch of views.

        Args:
            inputs: Views of shape (B, C, H, W), the assigned ones first,
                views of one size together.
            data_samples: Not used.
        """
        self._check_views(inputs)
        self.head.normalize_prototypes()
        z = self.embed(inputs)
        queued = self.queue_length > 0 and self.queue_started
        losses = self.head.loss(z, self._queue_share() if queued else None)
        if queued:
            self._enqueue(z.detach()[: self.head.assigned_views])
        return losses

    def _queue_share(self) -> Tensor | None:
        """The part of a full queue that this rank balances, shape (A, Q, D)."""
        if not self._queue_full:
            # A full queue stays full, so that the host waits for the device only until it is.
            self._queue_full = int(self.queue_filled) >= self.queue_length
        if not self._queue_full:
            return None
        rank, world = dist.get_dist_info()
        return self.queue[:, rank::world]

    def _forget_that_it_was_full(self, *_) -> None:
        self._queue_full = False

    @torch.no_grad()
    def _enqueue(self, z: Tensor) -> None:
        new = gather_rows(z.transpose(0, 1).to(self.queue))[0].transpose(0, 1)
        self.queue.copy_(torch.cat([new, self.queue], 1)[:, : self.queue_length])
        self.queue_filled.add_(new.shape[1]).clamp_(max=self.queue_length)

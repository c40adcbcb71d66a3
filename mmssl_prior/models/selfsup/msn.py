from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine import dist
from mmpretrain.models.backbones import TIMMBackbone
from mmpretrain.models.selfsup import BaseSelfSupervisor
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ...errors import UserError
from ...functional import patches_to_keep
from .finite_loss import FiniteLoss
from .micro_batches import in_micro_batches
from .target_networks import TargetNetworks

__all__ = ['MSN']


@MODELS.register_module()
class MSN(TargetNetworks, FiniteLoss, BaseSelfSupervisor):
    r"""Masked Siamese Networks, and with a prior in the head PMSN.

    Anchor views, the large one with patches dropped, predict over prototypes
    what a target network predicts for another view of the image. The target
    network is a moving average of the trained one:

    .. math:: \theta^{target} \leftarrow m \theta^{target} + (1 - m) \theta

    Views come as a list in the order target, large anchor, focal anchors.
    Patches are dropped on the large anchor alone. Views of one size pass the
    network together, so each size has batch statistics of its own. Batch
    normalisation in the target network uses and tracks its own statistics,
    in train mode, as released; the average is over parameters only.

    The target network makes the features for evaluation (``mode='tensor'``),
    as in the release. A feature map counts by its mean over positions, so
    convolutional backbones need nothing but ``patch_drop=0``. State keys:
    ``backbone``, ``neck``, ``head``, ``target_backbone``, ``target_neck``.

    ``TargetNetworkHook`` starts the target network, sets :meth:`set_step`
    before and calls :meth:`update_target` after each optimizer step.

    Args:
        backbone: Config; for patch dropping it must take ``keep`` and have
            ``token_grid`` as :class:`MSNViT` and :class:`TIMMViT` do.
        neck: Config of the projection, e.g. :class:`MSNNeck`.
        head: Config of :class:`PMSNHead`.
        patch_drop: Share r of patches dropped from the large anchor; CLS and
            floor((1 - r) N) patches remain.
        patch_drop_mode: ``'batch'`` draws one subset for the whole global
            batch, as released; ``'sample'`` one for each image.
        pool: Config of a neck without parameters that makes (B, C) of what
            both networks' backbones return, such as :class:`TokenPool` for
            one that returns tokens.
        data_preprocessor: Config, ``SelfSupDataPreprocessor`` by default.
        init_cfg: Initialisation config.
        packed: Whether anchors of different sizes pass the blocks of the
            backbone together where it can (:meth:`MSNViT.forward_groups`),
            which is the same up to rounding and saves launches.
        micro_batch: Images that pass the backbone at a time, each with all of
            its views; 0 for all. The gradient is that of the whole batch, in
            the memory of a small one, for a forward pass more. Projection
            and loss see the whole batch; the statistics of batch
            normalisation within the backbone are those of each part.

    Raises:
        ValueError: If patch_drop is outside [0, 1) or the backbone cannot
            drop patches, or drops some of its own accord in every view; if
            the mode is unknown, pool has parameters, or sizes of neck and
            head disagree.

    References:
        Assran et al., Masked Siamese Networks for Label-Efficient Learning,
        ECCV 2022; The Hidden Uniform Cluster Prior in Self-Supervised
        Learning, ICLR 2023.
    """

    # Which of its networks makes the features for evaluation, and so is the one to use elsewhere.
    evaluated_backbone = 'target_backbone'

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        patch_drop: float = 0.15,
        patch_drop_mode: str = 'batch',
        pool: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
        packed: bool = True,
        micro_batch: int = 0,
    ) -> None:
        super().__init__(
            backbone=backbone,
            neck=neck,
            head=head,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        if not 0 <= patch_drop < 1:
            raise UserError(f'patch_drop must be in [0, 1), got {patch_drop}')
        if not (isinstance(micro_batch, int) and micro_batch >= 0):
            raise UserError(f'micro_batch must be an integer >= 0, got {micro_batch!r}')
        if patch_drop_mode not in ('batch', 'sample'):
            raise UserError(f"patch_drop_mode must be 'batch' or 'sample', got {patch_drop_mode!r}")
        if patch_drop and not hasattr(self.backbone, 'token_grid'):
            raise UserError(
                f'patch_drop={patch_drop} needs a backbone that can drop patches, '
                f'such as MSNViT; {type(self.backbone).__name__} cannot: set '
                'patch_drop=0'
            )
        for module in self.backbone.modules():
            # timm's, by its name: it draws from the global generator, in all views.
            if type(module).__name__.startswith('PatchDropout') and getattr(module, 'prob', True):
                raise UserError(
                    "the backbone's patch_drop_rate drops patches of every view, the target's "
                    "too: leave it out, and set the model's patch_drop with a backbone such as "
                    'TIMMViT'
                )
        self.pool = None if pool is None else MODELS.build(pool)
        if self.pool is not None and next(self.pool.parameters(), None) is not None:
            raise UserError(
                f'pool={type(self.pool).__name__!r} has parameters, which would be learned without '
                'a moving average: pool with a neck that has none, such as TokenPool'
            )
        widths = (getattr(self.neck, 'out_channels', None), self.head.prototypes.shape[1])
        if None not in widths and widths[0] != widths[1]:
            raise UserError(
                f'the neck has out_channels={widths[0]}, the head embed_dim='
                f'{widths[1]}: make them equal'
            )
        self.patch_drop = patch_drop
        self.patch_drop_mode = patch_drop_mode
        self.packed = packed
        self.micro_batch = micro_batch
        self._add_targets('backbone', 'neck')

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Features of the target network for evaluation, shape (B, C)."""
        return self._features(self.target_backbone, inputs)

    def assign(self, inputs: Tensor) -> Tensor:
        """Log-predictions of the target network over prototypes, shape (B, K)."""
        return self.head.log_probs(self.target_neck(self.extract_feat(inputs)))

    def loss(
        self, inputs: list[Tensor], data_samples: list[DataSample] | None = None
    ) -> dict[str, Tensor]:
        """Losses and diagnostics of :meth:`PMSNHead.loss` on a batch of views.

        Args:
            inputs: Views of shape (B, C, H, W): target, large anchor, focal
                anchors.
            data_samples: Not used.
        """
        if not isinstance(inputs, (list, tuple)) or len(inputs) < 2:
            raise UserError(
                'MSN needs at least two views of each image (target, anchor, focal '
                '...): let the train pipeline end with SeededMultiView and PackInputs'
            )
        self._known_step()  # an error without patches to drop too
        target_view, *anchors = inputs
        with torch.no_grad():
            target = self.target_neck(self._features(self.target_backbone, target_view))
        # Each size by itself: it has batch statistics of its own.
        z = torch.cat([self.neck(features) for features in self._anchor_features(anchors)])
        return self.head.loss(z.view(len(anchors), len(target), -1), target)

    def _anchor_features(self, anchors: Sequence[Tensor]) -> list[Tensor]:
        """Features of the large anchor, then of each run of focal anchors of one size."""
        runs = [anchors[:1], *_group_by_size(anchors[1:])]
        images = [run[0] if len(run) == 1 else torch.cat(list(run)) for run in runs]
        keeps = [self._keep(anchors[0]), *(None for _ in images[1:])]
        if self.packed and not self.micro_batch and hasattr(self.backbone, 'forward_groups'):
            return [self._pooled(out) for out in self.backbone.forward_groups(images, keeps)]
        return [
            self._features(self.backbone, x, keep, len(run))
            for x, keep, run in zip(images, keeps, runs)
        ]

    def _features(
        self, backbone: nn.Module, inputs: Tensor, keep: Tensor | None = None, views: int = 1
    ) -> Tensor:
        try:
            out = in_micro_batches(backbone, self.micro_batch * views, inputs, keep)
        except AssertionError as error:
            # So timm says that a transformer was built for one size of images.
            if not isinstance(backbone, TIMMBackbone):
                raise
            raise UserError(
                f'the timm model takes no views of {inputs.shape[-2]}x{inputs.shape[-1]} px '
                f'({error}): add dynamic_img_size=True to model.backbone, or choose a model that '
                'takes images of any size'
            ) from error
        return self._pooled(out)

    def _pooled(self, out: Any) -> Tensor:
        out = out[-1] if isinstance(out, (list, tuple)) else out
        if self.pool is not None:
            out = self.pool(out)
        elif out.ndim == 4:
            out = out.mean((-2, -1))
        if out.ndim != 2:
            raise UserError(
                f'the backbone gives features of shape {tuple(out.shape)}, expected (batch, '
                "width): add pool=dict(type='TokenPool', mode='token') or mode='avg' to the "
                'model, or choose an output that is pooled'
            )
        return out

    def _keep(self, view: Tensor) -> Tensor | None:
        if not self.patch_drop:
            return None
        rows, columns = self.backbone.token_grid(tuple(view.shape[-2:]))
        generator = torch.Generator().manual_seed(_seed_from(*self._known_step(), 1))
        if self.patch_drop_mode == 'batch':
            keep = patches_to_keep(rows * columns, self.patch_drop, generator)
        else:
            # Drawn for the global batch, whose sample j * world + rank is sample j of a rank, as
            # EpochSampler deals them out: with it, not with one that chooses classes, the number
            # of ranks does not change an image's patches.
            rank, world = dist.get_dist_info()
            keep = patches_to_keep(rows * columns, self.patch_drop, generator, len(view) * world)[
                rank::world
            ]
        return keep.to(view.device, non_blocking=True)


def _group_by_size(views: Sequence[Tensor]) -> list[list[Tensor]]:
    """Runs of consecutive views of equal size."""
    groups: list[list[Tensor]] = []
    for view in views:
        if groups and groups[-1][0].shape == view.shape:
            groups[-1].append(view)
        else:
            groups.append([view])
    return groups


def _seed_from(*words: int) -> int:
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))

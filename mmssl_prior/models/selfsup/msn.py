import copy
from collections.abc import Iterator

import numpy as np
import torch
from mmengine import dist
from mmpretrain.models.selfsup import BaseSelfSupervisor
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ...errors import UserError
from ...functional import patches_to_keep

__all__ = ['MSN']


@MODELS.register_module()
class MSN(BaseSelfSupervisor):
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
        self.target_backbone = copy.deepcopy(self.backbone).requires_grad_(False)
        self.target_neck = copy.deepcopy(self.neck).requires_grad_(False)
        self._step: tuple[int, int] | None = None

    def init_weights(self) -> None:
        super().init_weights()
        self.sync_target()

    def _target_pairs(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        yield self.target_backbone, self.backbone
        yield self.target_neck, self.neck

    @torch.no_grad()
    def sync_target(self) -> None:
        """Make the target network a copy of the trained one, buffers included."""
        for target, online in self._target_pairs():
            target.load_state_dict(online.state_dict())

    @torch.no_grad()
    def update_target(self, momentum: float) -> None:
        """Move the target's parameters by the moving average, in a few fused kernels."""
        targets, onlines = zip(
            *(
                (t, o.detach())
                for target, online in self._target_pairs()
                for t, o in zip(target.parameters(), online.parameters())
            )
        )
        torch._foreach_lerp_(targets, onlines, 1 - momentum)

    def set_step(self, seed: int, iteration: int) -> None:
        """Name the training step: patch dropping is a function of (seed, iteration, view)."""
        self._step = (seed, iteration)

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
        if self._step is None:
            raise UserError(
                'MSN does not know its training step: add '
                "dict(type='TargetNetworkHook') to custom_hooks (in a loop of your own "
                'call model.set_step(seed, iteration) before and '
                'model.update_target(momentum) after each step)'
            )
        target_view, *anchors = inputs
        with torch.no_grad():
            target = self.target_neck(self._features(self.target_backbone, target_view))
        groups = [self.neck(self._features(self.backbone, anchors[0], self._keep(anchors[0])))]
        for views in _group_by_size(anchors[1:]):
            groups.append(self.neck(self._features(self.backbone, torch.cat(views))))
        z = torch.cat(groups)
        return self.head.loss(z.view(len(anchors), len(target), -1), target)

    def _features(self, backbone: nn.Module, inputs: Tensor, keep: Tensor | None = None) -> Tensor:
        out = backbone(inputs) if keep is None else backbone(inputs, keep=keep)
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
        assert self._step is not None
        rows, columns = self.backbone.token_grid(tuple(view.shape[-2:]))
        generator = torch.Generator().manual_seed(_seed_from(*self._step, 1))
        if self.patch_drop_mode == 'batch':
            keep = patches_to_keep(rows * columns, self.patch_drop, generator)
        else:
            # Drawn for the global batch, whose sample j * world + rank is sample j of a rank, as
            # samplers deal them out; so the number of ranks does not change an image's patches.
            rank, world = dist.get_dist_info()
            keep = patches_to_keep(rows * columns, self.patch_drop, generator, len(view) * world)[
                rank::world
            ]
        return keep.to(view.device, non_blocking=True)

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum the losses as MMEngine does, and stop before one that is not finite is used."""
        total, log_vars = super().parse_losses(losses)
        if not torch.isfinite(total):
            step = 'this step' if self._step is None else f'iteration {self._step[1]}'
            terms = ', '.join(f'{k}={float(v.mean()):g}' for k, v in losses.items())
            raise UserError(
                f'the loss is not finite at {step} ({terms}); the weights were left as '
                'they were and the last checkpoint is good: lower the learning rate, '
                'lengthen its warm-up or train in full precision'
            )
        return total, log_vars


def _group_by_size(views: list[Tensor]) -> list[list[Tensor]]:
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

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine import dist
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.models.selfsup import BaseSelfSupervisor
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ...errors import UserError
from ...functional import TARGET_NORMS, layer_targets
from .batch_masks import batch_masks
from .finite_loss import FiniteLoss
from .target_networks import TargetNetworks

__all__ = ['Data2Vec']

DROPOUT = 2  # a stream of its own among the uses of (seed, iteration)


@MODELS.register_module()
class Data2Vec(TargetNetworks, FiniteLoss, BaseSelfSupervisor):
    r"""data2vec for images: predict at hidden patches what a moving average sees there.

    .. math::
        y &= \mathrm{LN} \Big( \frac{1}{K} \sum_{l=L-K+1}^{L} \mathrm{LN}(a_l) \Big), \qquad
        L = \frac{1}{|M|\, C} \sum_{i \in M} \sum_c \ell \big( (W z_i + b)_c - y_{ic} \big) \\
        \theta^{target} &\leftarrow m \theta^{target} + (1 - m) \theta

    with a_l the outputs of the target network's last K blocks on the whole
    image, before any final LayerNorm; z_i the trained network's tokens behind
    its final LayerNorm on the image whose patches M are replaced by a mask
    token. The class token has no target. LN is without scale and shift.

    ``target_norm='instance'`` takes :math:`y = \frac{1}{K} \sum_l \mathrm{IN}(a_l)`
    instead, normalised per channel over the positions of an image: the paper
    does so for speech and finds LN enough for images. What is alike all over
    an image, such as its light and colour, is then no target.

    The target network is in eval mode always (no stochastic depth, no
    dropout), as released. The trained one's stochastic depth and dropout are
    functions of (seed, iteration, rank), so that a resumed run repeats them.
    The average is over parameters only. Deviation from the release: under
    mixed precision the target network runs in it too.

    The trained network makes the features for evaluation (``mode='tensor'``),
    averaged over patches: it is what the release fine-tunes, and how. State
    keys: ``backbone``, ``head``, ``mask_token``, ``target_backbone``.

    ``TargetNetworkHook`` starts the target network, sets :meth:`set_step`
    before and calls :meth:`update_target` after each optimizer step; the
    release holds m at 0.9998.

    Args:
        backbone: Config of :class:`Data2VecViT`.
        head: Config of :class:`Data2VecHead`.
        top_k: K, the number of last blocks whose outputs are averaged.
        target_norm: ``'layer'`` or ``'instance'``.
        data_preprocessor: Config, ``SelfSupDataPreprocessor`` by default.
        init_cfg: Initialisation config.

    Raises:
        ValueError: If the backbone offers no block outputs, it has fewer than
            top_k blocks, its width is not the head's, target_norm is unknown, or
            masks are missing or do not fit.

    References:
        Baevski et al., data2vec: A General Framework for Self-supervised
        Learning in Speech, Vision and Language, ICML 2022.
    """

    target_hook = "dict(type='TargetNetworkHook', momentum=0.9998, end_momentum=0.9998)"

    def __init__(
        self,
        backbone: dict,
        head: dict,
        top_k: int = 6,
        target_norm: str = 'layer',
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            backbone=backbone, head=head, data_preprocessor=data_preprocessor, init_cfg=init_cfg
        )
        if not hasattr(self.backbone, 'block_outputs'):
            raise UserError(
                f'Data2Vec needs the outputs of blocks, which {type(self.backbone).__name__} does '
                "not offer: use backbone=dict(type='Data2VecViT')"
            )
        blocks, width = len(self.backbone.layers), self.backbone.embed_dims
        if not 1 <= top_k <= blocks:
            raise UserError(f'top_k must be from 1 to {blocks}, the blocks there are, got {top_k}')
        if self.head.embed_dims != width:
            raise UserError(
                f'the backbone has width {width}, the head embed_dims={self.head.embed_dims}: '
                'make them equal'
            )
        if target_norm not in TARGET_NORMS:
            raise UserError(f'target_norm must be one of {list(TARGET_NORMS)}, got {target_norm!r}')
        self.top_k = top_k
        self.target_norm = target_norm
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self._add_targets('backbone')
        self.target_backbone.eval()

    def init_weights(self) -> None:
        super().init_weights()
        trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)

    def train(self, mode: bool = True) -> 'Data2Vec':
        """Set the mode of all but the target network, which stays in eval mode."""
        super().train(mode)
        self.target_backbone.eval()
        return self

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Features of the trained network on the whole image, shape (B, C)."""
        return self.backbone(inputs)[-1].mean((-2, -1))

    def targets(self, inputs: Tensor) -> Tensor:
        """Targets of all patches of the whole image, shape (B, N, C)."""
        with torch.no_grad():
            layers = self.target_backbone.block_outputs(inputs, self.top_k)
            return layer_targets(layers, self.target_norm)

    def loss(
        self, inputs: Tensor, data_samples: list[DataSample] | None = None
    ) -> dict[str, Tensor]:
        """Losses and diagnostics of :meth:`Data2VecHead.loss` on a batch of images.

        Args:
            inputs: Images of shape (B, C, H, W).
            data_samples: Samples with ``mask``, true where a patch is hidden.
        """
        mask = batch_masks(data_samples, self.backbone.patch_resolution, 'SeededBlockMask')
        step = self._known_step()
        targets = self.targets(inputs)
        with _seeded_dropout(inputs.device, *step, dist.get_rank(), DROPOUT):
            (tokens,) = self.backbone.block_outputs(inputs, mask=mask, mask_token=self.mask_token)
        return self.head.loss(self.backbone.ln1(tokens[mask]), targets[mask])


@contextmanager
def _seeded_dropout(device: torch.device, *words: int) -> Iterator[None]:
    """torch's generators of CPU and device, seeded for a block and restored after it."""
    seed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))
    on_cuda = device.type == 'cuda'
    with torch.random.fork_rng(devices=[device] if on_cuda else []):
        torch.default_generator.manual_seed(seed)
        if on_cuda:
            torch.cuda.manual_seed(seed)
        yield

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import UserError
from .probe_heads import ProbeHeads, top_labels
from .trunk_features import trunk_features

__all__ = ['LinearProbe']


@MODELS.register_module()
class LinearProbe(BaseModel):
    r"""Linear classifiers on a frozen backbone, several at once.

    .. math:: L = \sum_h \frac{1}{B} \sum_i -\log \mathrm{softmax}_{y_i}(f_h(x_i))

    with head h on one of the features that a single forward pass gives
    (:func:`trunk_features`). Heads share no weight, so that each learns as it
    would alone. The backbone needs no gradients and stays in eval mode while
    the model trains: no dropout, batch normalisation with running statistics
    that stay as they are.

    ``mode='predict'`` writes the five most probable labels of each head (the
    most probable one, of up to five classes), ``probe_topk`` of shape (H, 5),
    the heads' names, ``probe_heads``, and the names of those that are extra,
    ``probe_extra``, into the samples; :class:`ProbeAccuracy` scores each head.

    Args:
        backbone: Config; its ``init_cfg`` names the checkpoint.
        heads: Configs of :class:`ProbeHeads`.
        num_classes: Of every head.
        lr_multipliers: A copy of each head for each factor of the learning
            rate; ``LinearProbeOptimWrapperConstructor`` heeds them.
        seed: Of the heads' initial weights.
        data_preprocessor: Config, ``SelfSupDataPreprocessor`` by default.
        init_cfg: Initialisation config.

    Raises:
        UserError: If a head is malformed, its feature has another width or
            is none of the backbone's, samples come as several views, or a
            label is out of range.

    References:
        Goyal et al., VISSL, 2021; heads of facebookresearch/vissl and
        facebookresearch/msn.
    """

    def __init__(
        self,
        backbone: dict,
        heads: Sequence[Mapping[str, Any]],
        num_classes: int,
        lr_multipliers: Sequence[float] = (1.0,),
        seed: int = 0,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        if data_preprocessor is None:
            data_preprocessor = {}
        if isinstance(data_preprocessor, dict):
            data_preprocessor = dict(type='SelfSupDataPreprocessor') | data_preprocessor
        super().__init__(init_cfg=init_cfg, data_preprocessor=data_preprocessor)
        self.num_classes = num_classes
        self.backbone = MODELS.build(backbone)
        self.backbone.requires_grad_(False)
        self.heads = ProbeHeads(heads, num_classes, lr_multipliers, seed)
        self.train(self.training)

    def init_weights(self) -> None:
        """Load the backbone and freeze it, whatever its own initialisation does."""
        super().init_weights()
        self.heads.reset()
        self.backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> 'LinearProbe':
        """Set the mode of the heads; the backbone's is eval."""
        super().train(mode)
        self.backbone.eval()
        return self

    def extract_feat(self, inputs: Tensor | Sequence[Tensor]) -> dict[str, Tensor]:
        """Features of shape (B, D) by name, without gradients."""
        if not isinstance(inputs, Tensor):
            if len(inputs) != 1:
                raise UserError(
                    f'LinearProbe: samples come as {len(inputs)} views, or images differ in size; '
                    'it takes one crop of a fixed size'
                )
            inputs = inputs[0]
        names = list(dict.fromkeys(self.heads.features.values()))
        return trunk_features(self.backbone, inputs, names)

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum the losses; one that is not finite spoils its own head alone."""
        if not torch.stack(list(losses.values())).detach().isfinite().any():
            raise UserError(
                'LinearProbe: no loss is finite; the weights were left as they were: the features '
                'are not finite (was the backbone loaded?), or the learning rate is too high'
            )
        return super().parse_losses(losses)

    def forward(
        self, inputs: Any, data_samples: list[DataSample] | None = None, mode: str = 'tensor'
    ) -> Any:
        """Logits by head ('tensor'), losses by head ('loss') or samples ('predict')."""
        logits = self.heads(self.extract_feat(inputs))
        if mode == 'tensor':
            return logits
        assert data_samples is not None
        if mode == 'loss':
            labels = self._labels(data_samples)
            return {f'loss_{name}': F.cross_entropy(out, labels) for name, out in logits.items()}
        if mode == 'predict':
            return self._predicted(logits, data_samples)
        raise UserError(f"LinearProbe: mode is 'tensor', 'loss' or 'predict', got {mode!r}")

    def _labels(self, data_samples: list[DataSample]) -> Tensor:
        if any(sample.get('gt_label') is None for sample in data_samples):
            raise UserError('LinearProbe: a sample has no gt_label: name a labelled split')
        labels = torch.cat([sample.gt_label.reshape(-1) for sample in data_samples])
        if len(labels) != len(data_samples):
            raise UserError('LinearProbe: a sample has several labels, a probe learns one')
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= self.num_classes:
            raise UserError(
                f'LinearProbe: a label is {low if low < 0 else high}, but num_classes='
                f'{self.num_classes}: set model.num_classes to that of the dataset'
            )
        return labels

    def _predicted(
        self, logits: dict[str, Tensor], data_samples: list[DataSample]
    ) -> list[DataSample]:
        stacked = torch.stack(list(logits.values()), 1)
        best = top_labels(stacked).cpu()
        for sample, labels in zip(data_samples, best):
            sample.set_field(labels, 'probe_topk')
            sample.set_field(self.heads.names, 'probe_heads', field_type='metainfo')
            sample.set_field(self.heads.extra, 'probe_extra', field_type='metainfo')
        return data_samples

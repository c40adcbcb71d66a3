"""A checkpoint as a report looks at it: an encoder, and prototypes where it has some."""

from typing import Any

import numpy as np
from mmengine.model import BaseModel
from torch import Tensor

from ..config.checkpoints import check_complete
from ..evaluation.encoder import Encoder, build_encoder
from ..evaluation.encoder_source import EncoderSource

__all__ = ['FEATURE', 'LOG_PROBS', 'AnalyzedModel', 'open_model']

FEATURE, LOG_PROBS = 'feature', 'log_probs'


class AnalyzedModel(BaseModel):
    """Images to features, and to log-predictions over prototypes where there are some.

    Args:
        encoder: Of the checkpoint.
        source: Where it comes from.
    """

    def __init__(self, encoder: Encoder, source: EncoderSource) -> None:
        # As of the encoder: the preprocessor goes where the model goes.
        super().__init__(encoder.data_preprocessor)
        self.encoder, self.source = encoder, source

    @property
    def has_prototypes(self) -> bool:
        """Whether images can be assigned to prototypes."""
        head = getattr(self.encoder.model, 'head', None)
        return hasattr(self.encoder.model, 'assign') and hasattr(head, 'prototypes')

    @property
    def head(self) -> Any:
        """The head with the prototypes."""
        return self.encoder.model.head

    @property
    def outputs(self) -> list[str]:
        """Names of what :meth:`forward` returns."""
        return [FEATURE, LOG_PROBS] if self.has_prototypes else [FEATURE]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """``feature`` (B, D) and ``log_probs`` (B, K) of preprocessed images."""
        features = self.encoder(images)
        if not self.has_prototypes:
            return {FEATURE: features}
        model: Any = self.encoder.model
        if hasattr(model, 'target_neck'):
            # What `assign` does, without passing the backbone again.
            log_probs = model.head.log_probs(model.target_neck(features))
        else:
            log_probs = model.assign(images)
        return {FEATURE: features, LOG_PROBS: log_probs}

    def log_prior(self, counts: np.ndarray | None) -> Tensor | None:
        """The prior in the order of the prototypes, float64 (K,).

        One that waits for the class counts of its training set gets those of
        the images at hand; without any it is unknown.

        Args:
            counts: Images of each class, or None without labels.
        """
        if self.head.needs_prior_counts:
            if counts is None:
                return None
            self.head.fit_prior(counts[counts > 0])
        return self.head.matched_log_prior.double().cpu()

    def summary(self) -> dict[str, Any]:
        """What the checkpoint is, for people."""
        backbone = self.encoder.backbone
        model = self.source.timm or type(self.encoder.model).__name__
        return dict(
            name=self.source.name,
            run=self.source.group,
            seed=self.source.seed,
            method=model,
            backbone=self.source.timm or type(backbone).__name__,
            parameters=sum(parameter.numel() for parameter in backbone.parameters()),
            image_size=self.encoder.size,
        )


def open_model(source: EncoderSource, size: int | None = None) -> AnalyzedModel:
    """Build the model of a source with the weights of encoder, neck and prototypes.

    Args:
        source: As ``read_source`` gives it.
        size: Height and width of the images; by default the encoder's own.

    Raises:
        UserError: If the model cannot be built, or a weight is missing or of
            another shape.
    """
    model = AnalyzedModel(build_encoder(source, size), source)
    if model.has_prototypes and source.path:
        inner: Any = model.encoder.model
        neck = 'target_neck' if hasattr(inner, 'target_neck') else 'neck'
        parts = tuple(dict.fromkeys([*model.encoder.parts, neck, 'head']))
        state = source.weights()
        check_complete(inner, source.path, state, parts)
        kept = {key: value for key, value in state.items() if key.split('.')[0] in parts}
        inner.load_state_dict(kept, strict=False)
    return model.eval().requires_grad_(False)

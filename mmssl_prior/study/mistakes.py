"""Mistakes of other implementations, to measure what they cost; nothing else has a use for them."""

import math

import torch
from mmpretrain.registry import MODELS
from torch import Tensor

from ..errors import UserError
from ..models.heads import PMSNHead

__all__ = ['MistakenPMSNHead']


@MODELS.register_module()
class MistakenPMSNHead(PMSNHead):
    r"""``PMSNHead`` as it was written elsewhere.

    .. math:: \frac{1}{W} \sum_{w=1}^W KL(\bar p_w \| \pi)

    with the mean prediction :math:`\bar p_w` of each of W equal parts of the
    batch takes the place of the divergence of the global mean: what W ranks
    compute that do not reduce it. It is for one process.

    Args:
        parts: W. 1 is the global mean.
        frozen_prototypes: Whether the prototypes stay where they began, as
            where they are passed to the loss without their gradient.
        **kwargs: Of :class:`PMSNHead`.

    Raises:
        UserError: If the images of a batch do not divide into the parts.
    """

    def __init__(self, parts: int = 1, frozen_prototypes: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        self.parts = parts
        self.prototypes.requires_grad_(not frozen_prototypes)

    def loss(self, anchors: Tensor, target: Tensor) -> dict[str, Tensor]:
        """As :meth:`PMSNHead.loss`, with the mistake in ``loss_prior``."""
        losses = super().loss(anchors, target)
        if self.parts > 1:
            if anchors.shape[1] % self.parts:
                raise UserError(
                    f'{anchors.shape[1]} images do not divide into parts={self.parts}: change '
                    'train_dataloader.batch_size'
                )
            divergences = []
            for part in anchors.chunk(self.parts, dim=1):
                log_p = self.log_probs(part.flatten(0, 1))
                log_mean = log_p.logsumexp(0) - math.log(len(log_p))
                divergences.append(self.prior_loss.divergence(log_mean, self._prior_or_raise()))
            losses['loss_prior'] = torch.stack(divergences).mean()
        return losses

from mmengine.model import BaseModule
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...errors import UserError
from ...functional import batch_std

__all__ = ['Data2VecHead']


@MODELS.register_module()
class Data2VecHead(BaseModule):
    r"""Linear regression of layer targets from masked tokens.

    .. math:: L = \frac{1}{|M|\, C} \sum_{i \in M} \sum_c
              \ell \big( (W z_i + b)_c - y_{ic} \big)

    with z_i the tokens of the trained network behind its final LayerNorm, y_i
    those of :func:`mmssl_prior.functional.layer_targets`, and the loss of
    :class:`MaskedRegressionLoss`.

    Args:
        embed_dims: Width C of tokens and targets.
        loss: Config of the loss, ``MaskedRegressionLoss('smooth_l1', 2.0)`` by
            default.
        init_cfg: Initialisation config; by default weights from a truncated
            normal of standard deviation 0.02, cut at one, bias 0.

    Raises:
        ValueError: If embed_dims is not positive, or tokens have another width.

    References:
        Baevski et al., data2vec, ICML 2022.
    """

    def __init__(
        self, embed_dims: int = 768, loss: dict | None = None, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        if embed_dims < 1:
            raise UserError(f'embed_dims must be positive, got {embed_dims}')
        self.embed_dims = embed_dims
        self.predictor = nn.Linear(embed_dims, embed_dims)
        loss_cfg = dict(criterion='smooth_l1', beta=2.0) if loss is None else loss
        self.loss_module = MODELS.build(dict(type='MaskedRegressionLoss') | loss_cfg)

    def init_weights(self) -> None:
        super().init_weights()
        if self.init_cfg is None:
            trunc_normal_(self.predictor.weight, std=0.02, a=-0.02, b=0.02)
            nn.init.zeros_(self.predictor.bias)

    def loss(self, tokens: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Loss and diagnostics on masked tokens; every value is global (equal on all ranks).

        Args:
            tokens: Masked tokens of all images, shape (n, C); n may differ
                between ranks.
            targets: Shape (n, C).

        Returns:
            ``loss``; for the log ``prediction_std`` and ``target_std``
            (:func:`mmssl_prior.functional.batch_std`): 0 means collapse.
        """
        if tokens.shape[-1] != self.embed_dims:
            raise UserError(
                f'tokens have width {tokens.shape[-1]}, but the head has embed_dims='
                f"{self.embed_dims}: make it equal to the backbone's"
            )
        pred = self.predictor(tokens)
        return dict(
            loss=self.loss_module(pred, targets),
            prediction_std=batch_std(pred),
            target_std=batch_std(targets),
        )

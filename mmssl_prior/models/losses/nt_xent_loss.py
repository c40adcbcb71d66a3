from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...errors import UserError
from ...functional import global_mean, nt_xent

__all__ = ['NTXentLoss']


@MODELS.register_module()
class NTXentLoss(nn.Module):
    r"""Normalised temperature-scaled cross-entropy, the loss of SimCLR.

    .. math::
        L = \frac{1}{2N} \sum_{i=1}^{2N} -\log
            \frac{\exp(\cos(z_i, z_{i^+}) / \tau)}{\sum_{j \ne i} \exp(\cos(z_i, z_j) / \tau)}

    over two views of the N images on all ranks (global), with the true
    gradient: an embedding also gets the gradient of being another rank's
    positive or negative, which MMPretrain's SimCLR leaves out.

    There are no prototypes, hence no distribution over them and no prior to
    set.

    Args:
        temperature: tau > 0.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: If the temperature is not positive or the weight negative.

    References:
        Chen et al., A Simple Framework for Contrastive Learning of Visual
        Representations, ICML 2020.

    Example:
        >>> z = torch.tensor([[[1., 0.], [0., 1.]], [[1., 0.], [0., 1.]]])
        >>> round(float(NTXentLoss(temperature=1.)(z)['loss_contrast']), 4)  # log(e + 2) - 1
        0.5514
    """

    def __init__(self, temperature: float = 0.1, loss_weight: float = 1.0) -> None:
        super().__init__()
        if not temperature > 0:
            raise UserError(f'temperature must be positive, got {temperature}')
        if not loss_weight >= 0:
            raise UserError(f'loss_weight must be >= 0, got {loss_weight}')
        self.temperature = temperature
        self.loss_weight = loss_weight

    def forward(self, z: Tensor) -> dict[str, Tensor]:
        """Weighted loss ``loss_contrast``, equal on all ranks.

        Args:
            z: Embeddings of two views of this rank's images, shape (2, B, D).
        """
        loss = global_mean(nt_xent(z, self.temperature))
        return dict(loss_contrast=self.loss_weight * loss)

    def extra_repr(self) -> str:
        return f'temperature={self.temperature}, loss_weight={self.loss_weight}'

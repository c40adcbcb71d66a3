from mmpretrain.registry import TASK_UTILS
from torch import Tensor

from ...functional import uniform_prior
from .base import Prior

__all__ = ['UniformPrior']


@TASK_UTILS.register_module()
class UniformPrior(Prior):
    """Equal probabilities, with which PMSN is MSN exactly.

    Example:
        >>> UniformPrior()(4).tolist()
        [0.25, 0.25, 0.25, 0.25]
    """

    def probabilities(self, num_prototypes: int) -> Tensor:
        return uniform_prior(num_prototypes)

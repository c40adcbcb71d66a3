from mmpretrain.registry import TASK_UTILS
from torch import Tensor

from ...functional import power_law_prior
from .base import Prior

__all__ = ['PowerLawPrior']


@TASK_UTILS.register_module()
class PowerLawPrior(Prior):
    r"""Power law over the rank of a prototype, the default of PMSN.

    .. math:: \pi_k \propto k^{-\tau}, \quad k = 1 \dots K

    Args:
        exponent: tau >= 0; 0 is uniform. The paper uses 0.25, which is gentle:
            at K = 1024 the largest probability is 5.66 times the smallest.

    Raises:
        ValueError: If the exponent is negative or not finite.

    References:
        Assran et al., The Hidden Uniform Cluster Prior in Self-Supervised
        Learning, ICLR 2023.

    Example:
        >>> prior = PowerLawPrior(0.25)(1024)
        >>> round(float(prior[0] / prior[-1]), 2)
        5.66
    """

    def __init__(self, exponent: float = 0.25) -> None:
        power_law_prior(1, exponent)  # a bad exponent fails when the config is built
        self.exponent = exponent

    def probabilities(self, num_prototypes: int) -> Tensor:
        return power_law_prior(num_prototypes, self.exponent)

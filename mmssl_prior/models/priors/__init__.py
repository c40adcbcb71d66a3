from .base import Prior
from .empirical_prior import EmpiricalPrior
from .power_law_prior import PowerLawPrior
from .uniform_prior import UniformPrior

__all__ = ['EmpiricalPrior', 'PowerLawPrior', 'Prior', 'UniformPrior']

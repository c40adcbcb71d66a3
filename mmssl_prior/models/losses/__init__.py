from .masked_regression_loss import MaskedRegressionLoss
from .nt_xent_loss import NTXentLoss
from .prior_matching_loss import PriorMatchingLoss
from .vicreg_loss import VICRegLoss

__all__ = ['MaskedRegressionLoss', 'NTXentLoss', 'PriorMatchingLoss', 'VICRegLoss']

from .prior_matching_loss import PriorMatchingLoss

__all__ = ['PriorMatchingLoss']

"""Pure maths on tensors: priors, divergences, assignments and reductions over ranks."""

from .assignments import cosine_log_probs, sharpen, sinkhorn
from .distributed import (
    all_reduce_sum,
    distributed_log_mean_exp,
    distributed_logsumexp,
    gather_stack,
    global_mean,
)
from .divergences import entropy, kl_divergence, soft_cross_entropy
from .patch_drop import patches_to_keep
from .priors import empirical_prior, power_law_prior, uniform_prior, validate_prior

__all__ = [
    'all_reduce_sum',
    'cosine_log_probs',
    'distributed_log_mean_exp',
    'distributed_logsumexp',
    'empirical_prior',
    'entropy',
    'gather_stack',
    'global_mean',
    'kl_divergence',
    'patches_to_keep',
    'power_law_prior',
    'sharpen',
    'sinkhorn',
    'soft_cross_entropy',
    'uniform_prior',
    'validate_prior',
]

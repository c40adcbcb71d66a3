"""Pure maths on tensors: priors, divergences, assignments and reductions over ranks."""

from .assignments import cosine_log_probs, sharpen, sinkhorn
from .contrastive import nt_xent
from .dispersion import spherical_variance
from .distributed import (
    all_reduce_sum,
    distributed_log_mean_exp,
    distributed_logsumexp,
    gather_rows,
    gather_stack,
    global_mean,
)
from .divergences import entropy, kl_divergence, soft_cross_entropy
from .layer_targets import TARGET_NORMS, batch_std, layer_targets
from .patch_drop import patches_to_keep, take_patches
from .priors import empirical_prior, power_law_prior, uniform_prior, validate_prior
from .swapped_prediction import swapped_cross_entropy
from .vicreg import off_diagonal_covariance, variance_hinge

__all__ = [
    'TARGET_NORMS',
    'all_reduce_sum',
    'batch_std',
    'cosine_log_probs',
    'distributed_log_mean_exp',
    'distributed_logsumexp',
    'empirical_prior',
    'entropy',
    'gather_rows',
    'gather_stack',
    'global_mean',
    'kl_divergence',
    'layer_targets',
    'nt_xent',
    'off_diagonal_covariance',
    'patches_to_keep',
    'power_law_prior',
    'sharpen',
    'sinkhorn',
    'soft_cross_entropy',
    'spherical_variance',
    'swapped_cross_entropy',
    'take_patches',
    'uniform_prior',
    'validate_prior',
    'variance_hinge',
]

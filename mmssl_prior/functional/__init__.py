"""Pure maths on tensors: priors, divergences, assignments and reductions over ranks."""

from .agreement import DelayedMaximum
from .assignments import cosine_log_probs, prototype_terms, sharpen, sinkhorn
from .contrastive import nt_xent
from .dispersion import spherical_variance
from .distributed import (
    all_reduce_sum,
    distributed_log_mean,
    distributed_log_mean_exp,
    distributed_logsumexp,
    gather_rows,
    gather_stack,
    global_mean,
    local_shard,
    whole_tensor,
)
from .divergences import entropy, kl_divergence, soft_cross_entropy
from .layer_targets import TARGET_NORMS, batch_std, layer_targets
from .patch_drop import patches_to_keep, take_patches
from .photometric import (
    blend,
    blur,
    box_blur_taps,
    grayscale,
    luma,
    shift_hue,
    solarize,
)
from .priors import empirical_prior, power_law_prior, uniform_prior, validate_prior
from .resampling import FILTERS, resampled_crops, resampling_weights
from .swapped_prediction import swapped_cross_entropy
from .vicreg import off_diagonal_covariance, variance_hinge
from .view_batch import GEOMETRY, ViewRecipe, make_views

__all__ = [
    'DelayedMaximum',
    'FILTERS',
    'GEOMETRY',
    'TARGET_NORMS',
    'ViewRecipe',
    'all_reduce_sum',
    'batch_std',
    'blend',
    'blur',
    'box_blur_taps',
    'cosine_log_probs',
    'distributed_log_mean',
    'distributed_log_mean_exp',
    'distributed_logsumexp',
    'empirical_prior',
    'entropy',
    'gather_rows',
    'gather_stack',
    'global_mean',
    'grayscale',
    'kl_divergence',
    'layer_targets',
    'local_shard',
    'luma',
    'make_views',
    'nt_xent',
    'off_diagonal_covariance',
    'patches_to_keep',
    'power_law_prior',
    'prototype_terms',
    'resampled_crops',
    'resampling_weights',
    'sharpen',
    'shift_hue',
    'sinkhorn',
    'soft_cross_entropy',
    'solarize',
    'spherical_variance',
    'swapped_cross_entropy',
    'take_patches',
    'uniform_prior',
    'validate_prior',
    'variance_hinge',
    'whole_tensor',
]

from collections.abc import Sequence

import numpy as np
import torch
from mmengine import dist
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS, TASK_UTILS
from torch import Tensor, nn

from ...errors import UserError
from ...functional import (
    cosine_log_probs,
    entropy,
    global_mean,
    kl_divergence,
    sharpen,
    soft_cross_entropy,
    validate_prior,
)
from ..priors import EmpiricalPrior, Prior

__all__ = ['PMSNHead']


@MODELS.register_module()
class PMSNHead(BaseModule):
    r"""Prototypes and losses of Prior Matching for Siamese Networks.

    .. math::
        p_i &= \mathrm{softmax}(\cos(z_i, w) / \tau) \\
        q   &= \mathrm{Sinkhorn}_m(\mathrm{sharpen}_T(p^{target})) \\
        L   &= \frac{1}{N} \sum_{i=1}^N H(q_i, p_i) + \lambda KL(\bar p \| \pi)

    over the N anchors of all views on all ranks; :math:`\bar p` is their mean
    prediction. With a uniform prior it is MSN: its term
    :math:`\log K - H(\bar p)` is :math:`KL(\bar p \| u)`. Prototype k has
    rank k in the prior.

    The Sinkhorn marginal m is off, uniform (as MSN was released) or the
    prior. A uniform marginal makes the targets equipartitioned and so undoes
    any other prior; hence the default is the prior, which is our choice, as
    the paper's is not published.

    Deviation from the MSN release: prototypes get the true gradient, where
    the release sums it over ranks (a factor that AdamW cancels).

    Args:
        num_prototypes: K.
        embed_dim: Width D of the embeddings.
        prior: A prior's config, a :class:`Prior`, or K positive numbers.
            Defaults to ``PowerLawPrior(0.25)``.
        temperature: tau of the softmax over cosines.
        sharpening: T of the targets; 1 leaves them as they are.
        sinkhorn: Config of :class:`Sinkhorn` (marginal, iterations).
        prior_loss: Config of :class:`PriorMatchingLoss` (loss_weight, direction).
        init_cfg: Initialisation config; prototypes start uniform in
            :math:`\pm 1/\sqrt{D}` on all ranks alike.

    Raises:
        ValueError: If a size or temperature is not positive or the prior does
            not fit num_prototypes.

    References:
        Assran et al., The Hidden Uniform Cluster Prior in Self-Supervised
        Learning, ICLR 2023; Masked Siamese Networks, ECCV 2022.
    """

    log_prior: Tensor | None

    def __init__(
        self,
        num_prototypes: int = 1024,
        embed_dim: int = 256,
        prior: dict | Prior | Sequence[float] | Tensor | None = None,
        temperature: float = 0.1,
        sharpening: float = 0.25,
        sinkhorn: dict | None = None,
        prior_loss: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        for name, value in dict(
            num_prototypes=num_prototypes,
            embed_dim=embed_dim,
            temperature=temperature,
            sharpening=sharpening,
        ).items():
            if not value > 0:
                raise UserError(f'{name} must be positive, got {value}')
        self.num_prototypes = num_prototypes
        self.temperature = temperature
        self.sharpening = sharpening
        self.prototypes = nn.Parameter(torch.empty(num_prototypes, embed_dim))
        self.sinkhorn = MODELS.build(dict(type='Sinkhorn') | (sinkhorn or {}))
        self.prior_loss = MODELS.build(dict(type='PriorMatchingLoss') | (prior_loss or {}))
        # Not in the state dict: the config is the authority on the prior, also after a resume.
        self.register_buffer('log_prior', None, persistent=False)
        self.prior = self._build_prior(prior)
        self.reset_prototypes()

    def _build_prior(self, prior) -> Prior | None:
        if prior is None:
            prior = dict(type='PowerLawPrior', exponent=0.25)
        if isinstance(prior, dict) and 'type' in prior:
            prior = TASK_UTILS.build(prior)
        if not isinstance(prior, Prior):
            try:
                weights = torch.as_tensor(np.asarray(prior, dtype=np.float64))
            except (TypeError, ValueError) as e:
                raise UserError(
                    f'prior={prior!r}: expected a config such as '
                    "dict(type='PowerLawPrior', exponent=0.25), or one number for each prototype"
                ) from e
            self._set_log_prior(validate_prior(weights, self.num_prototypes))
            return None
        if not isinstance(prior, EmpiricalPrior) or prior.is_fitted:
            self._set_log_prior(prior(self.num_prototypes))
        return prior

    def _set_log_prior(self, prior: Tensor) -> None:
        self.log_prior = prior.log().to(self.prototypes)

    def fit_prior(self, counts: Sequence[float] | np.ndarray) -> None:
        """Give an ``EmpiricalPrior`` the class counts of the training set."""
        assert isinstance(self.prior, EmpiricalPrior)
        self.prior.fit(counts)
        self._set_log_prior(self.prior(self.num_prototypes))

    @property
    def needs_prior_counts(self) -> bool:
        """Whether the prior still waits for :meth:`fit_prior`."""
        return self.log_prior is None

    @torch.no_grad()
    def reset_prototypes(self) -> None:
        bound = self.prototypes.shape[1] ** -0.5
        self.prototypes.uniform_(-bound, bound)

    def init_weights(self) -> None:
        super().init_weights()
        if self.init_cfg is None:
            self.reset_prototypes()

    def log_probs(self, z: Tensor) -> Tensor:
        """Log-predictions over prototypes, shape (..., K), of embeddings of shape (..., D)."""
        if z.shape[-1] != self.prototypes.shape[1]:
            raise UserError(
                f'embeddings have width {z.shape[-1]}, but the head has embed_dim='
                f"{self.prototypes.shape[1]}: make the neck's out_channels equal it"
            )
        dtype = torch.promote_types(z.dtype, torch.float32)
        return cosine_log_probs(z.to(dtype), self.prototypes.to(dtype), self.temperature)

    @torch.no_grad()
    def targets(self, z: Tensor) -> Tensor:
        """Balanced target distributions, shape (B, K), of target embeddings of shape (B, D)."""
        log_q = sharpen(self.log_probs(z), self.sharpening)
        return self.sinkhorn(log_q, self._prior_or_raise()).exp()

    def _prior_or_raise(self) -> Tensor:
        if self.log_prior is None:
            assert self.prior is not None
            return self.prior(self.num_prototypes)  # raises, and says what is missing
        return self.log_prior

    def loss(self, anchors: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Losses and diagnostics of one step; every value is global (equal on all ranks).

        Args:
            anchors: Embeddings of V anchor views, shape (V, B, D); B may
                differ between ranks.
            target: Embeddings of the target view, shape (B, D).

        Returns:
            ``loss_ce`` and ``loss_prior`` (weighted), which are summed for the
            gradient; for the log ``prior_kl`` (KL(p_bar || prior)),
            ``p_bar_entropy``, ``target_prototypes`` (number of distinct
            prototypes that are some target's largest entry) and
            ``target_max`` (mean of the targets' largest entries).
        """
        # Predictions in float32 also under autocast: cosines / 0.1 and logsumexp need the digits.
        with torch.autocast(anchors.device.type, enabled=False):
            log_prior = self._prior_or_raise()
            q = self.targets(target)
            log_p = self.log_probs(anchors)
            loss_ce = global_mean(soft_cross_entropy(q, log_p))
            loss_prior, log_mean = self.prior_loss(log_p.flatten(0, 1), log_prior)
        with torch.no_grad():
            largest, used = q.max(-1)
            usage = torch.bincount(used, minlength=self.num_prototypes)
            dist.all_reduce(usage, 'sum')
            return dict(
                loss_ce=loss_ce,
                loss_prior=loss_prior,
                prior_kl=kl_divergence(log_mean, log_prior),
                p_bar_entropy=entropy(log_mean),
                target_prototypes=(usage > 0).sum().float(),
                target_max=global_mean(largest),
            )

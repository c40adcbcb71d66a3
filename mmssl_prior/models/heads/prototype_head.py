from collections.abc import Sequence

import numpy as np
import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS, TASK_UTILS
from torch import Tensor, nn

from ...errors import UserError
from ...functional import all_reduce_sum, cosine_log_probs, global_mean, validate_prior
from ..priors import EmpiricalPrior, Prior

__all__ = ['PrototypeHead', 'PriorConfig']

PriorConfig = dict | Prior | Sequence[float] | Tensor | None


class PrototypeHead(BaseModule):
    r"""Base of heads with learned prototypes and a prior over them.

    .. math:: p = \mathrm{softmax}(\cos(z, w) / \tau)

    Prototype k has rank k in the prior. Subclasses say what the prior is for:
    the term of a loss, the marginal of the assignments.

    Args:
        num_prototypes: K.
        embed_dim: Width D of the embeddings.
        prior: A prior's config, a :class:`Prior`, or K positive numbers.
        temperature: tau of the softmax over cosines.
        sinkhorn: Config of :class:`Sinkhorn` (marginal, iterations).
        init_cfg: Initialisation config; prototypes start uniform in
            :math:`\pm 1/\sqrt{D}` on all ranks alike.

    Raises:
        ValueError: If a size or temperature is not positive or the prior does
            not fit num_prototypes.
    """

    log_prior: Tensor | None

    def __init__(
        self,
        num_prototypes: int,
        embed_dim: int,
        prior: PriorConfig,
        temperature: float,
        sinkhorn: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        for name, value in dict(
            num_prototypes=num_prototypes, embed_dim=embed_dim, temperature=temperature
        ).items():
            if not value > 0:
                raise UserError(f'{name} must be positive, got {value}')
        self.num_prototypes = num_prototypes
        self.temperature = temperature
        self.prototypes = nn.Parameter(torch.empty(num_prototypes, embed_dim))
        self.sinkhorn = MODELS.build(dict(type='Sinkhorn') | (sinkhorn or {}))
        # Not in the state dict: the config is the authority on the prior, also after a resume.
        self.register_buffer('log_prior', None, persistent=False)
        self.prior = self._build_prior(prior)
        self.reset_prototypes()

    def _build_prior(self, prior: PriorConfig) -> Prior | None:
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
        self.log_prior = prior.log().to(self.prototypes.device, self.prototypes.dtype)

    def fit_prior(self, counts: Sequence[float] | np.ndarray) -> None:
        """Give an ``EmpiricalPrior`` the class counts of the training set."""
        assert isinstance(self.prior, EmpiricalPrior)
        self.prior.fit(counts)
        self._set_log_prior(self.prior(self.num_prototypes))

    @property
    def needs_prior_counts(self) -> bool:
        """Whether the prior still waits for :meth:`fit_prior`."""
        return self.log_prior is None

    def _prior_or_raise(self) -> Tensor:
        if self.log_prior is None:
            assert self.prior is not None
            return self.prior(self.num_prototypes)  # raises, and says what is missing
        return self.log_prior

    @property
    def matched_log_prior(self) -> Tensor:
        """Logarithm of the prior that is in force now, in the order of the prototypes, (K,)."""
        return self._prior_or_raise()

    @torch.no_grad()
    def reset_prototypes(self) -> None:
        bound = self.prototypes.shape[1] ** -0.5
        self.prototypes.uniform_(-bound, bound)

    def init_weights(self) -> None:
        super().init_weights()
        if self.init_cfg is None:
            self.reset_prototypes()

    def _check_width(self, z: Tensor) -> None:
        if z.shape[-1] != self.prototypes.shape[1]:
            raise UserError(
                f'embeddings have width {z.shape[-1]}, but the head has embed_dim='
                f"{self.prototypes.shape[1]}: make the neck's out_channels equal it"
            )

    def log_probs(self, z: Tensor) -> Tensor:
        """Log-predictions over prototypes, shape (..., K), of embeddings of shape (..., D)."""
        self._check_width(z)
        dtype = torch.promote_types(z.dtype, torch.float32)
        return cosine_log_probs(z.to(dtype), self.prototypes.to(dtype), self.temperature)

    @torch.no_grad()
    def _target_diagnostics(self, q: Tensor) -> dict[str, Tensor]:
        """Distinct prototypes that are some target's largest entry, and the mean of these."""
        largest, used = q.max(-1)
        # Not `bincount`, for which the host waits until a GPU has found the largest index.
        seen = torch.zeros(self.num_prototypes, dtype=torch.int64, device=q.device)
        usage = all_reduce_sum(seen.scatter_(0, used.flatten(), 1))
        return dict(target_prototypes=(usage > 0).sum().float(), target_max=global_mean(largest))

import torch
from mmpretrain.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from ...errors import UserError
from ...functional import (
    distributed_log_mean_exp,
    entropy,
    global_mean,
    kl_divergence,
    swapped_cross_entropy,
)
from .prototype_head import PriorConfig, PrototypeHead

__all__ = ['PriorSwAVHead']


@MODELS.register_module()
class PriorSwAVHead(PrototypeHead):
    r"""Prototypes and swapped prediction of SwAV, with a prior over the prototypes.

    .. math::
        s_v &= \hat z_v \hat w^T, \qquad p_v = \mathrm{softmax}(s_v / \tau) \\
        q_a &= \mathrm{Sinkhorn}_\pi(s_a / \epsilon) \\
        L   &= \frac{1}{A (V - 1)} \sum_{a=1}^{A} \sum_{v \ne a}
               \frac{1}{N} \sum_{n=1}^{N} H(q_{an}, p_{vn})

    over V views of the N images on all ranks; the first A views are assigned.
    The mass of prototype k over the global batch is balanced to the prior
    :math:`\pi_k`: uniform is SwAV as published (equipartition), and any other
    prior puts that one in its place. Prototype k has rank k in the prior.

    Departures: MMPretrain's ``SwAVLoss`` adds up the mass of a prototype on
    each rank by itself, so that its batch is balanced by parts; here sums run
    over all ranks, as published. The prior is Sinkhorn's marginal alone,
    there is no divergence from it in the loss.

    Args:
        num_prototypes: K.
        embed_dim: Width D of the embeddings.
        prior: A prior's config, a :class:`Prior`, or K positive numbers.
            Defaults to ``UniformPrior()``, which is SwAV.
        temperature: tau of the predictions.
        epsilon: Temperature of the assignments before they are balanced.
        sinkhorn: Config of :class:`Sinkhorn`; its marginal is the prior by
            default.
        assigned_views: A.
        init_cfg: Initialisation config; prototypes start uniform in
            :math:`\pm 1/\sqrt{D}` on all ranks alike.

    Raises:
        ValueError: If a size or temperature is not positive or the prior does
            not fit num_prototypes.

    References:
        Caron et al., Unsupervised Learning of Visual Features by Contrasting
        Cluster Assignments, NeurIPS 2020; the power law as marginal: VISSL.
    """

    def __init__(
        self,
        num_prototypes: int = 3000,
        embed_dim: int = 128,
        prior: PriorConfig = None,
        temperature: float = 0.1,
        epsilon: float = 0.05,
        sinkhorn: dict | None = None,
        assigned_views: int = 2,
        init_cfg: dict | None = None,
    ) -> None:
        if prior is None:
            prior = dict(type='UniformPrior')
        super().__init__(num_prototypes, embed_dim, prior, temperature, sinkhorn, init_cfg)
        for name, value in dict(epsilon=epsilon, assigned_views=assigned_views).items():
            if not value > 0:
                raise UserError(f'{name} must be positive, got {value}')
        self.epsilon = epsilon
        self.assigned_views = assigned_views

    @torch.no_grad()
    def normalize_prototypes(self) -> None:
        """Scale every prototype to length 1; before each training step, as released."""
        self.prototypes.copy_(F.normalize(self.prototypes, dim=-1))

    @torch.no_grad()
    def targets(self, z: Tensor, queue: Tensor | None = None) -> Tensor:
        """Balanced assignments of one view.

        Args:
            z: Embeddings of length 1, shape (B, D).
            queue: This rank's share of earlier embeddings, shape (Q, D),
                which are balanced along.

        Returns:
            Assignments of z, shape (B, K); rows sum to one.
        """
        rows = z if queue is None else torch.cat([queue.to(z), z])
        log_q = self.sinkhorn(rows @ self.prototypes.T / self.epsilon, self._prior_or_raise())
        # Rows are normalised unless Sinkhorn is off.
        return F.log_softmax(log_q[len(rows) - len(z) :], -1).exp()

    def loss(self, z: Tensor, queue: Tensor | None = None) -> dict[str, Tensor]:
        """Loss and diagnostics of one step; every value is global (equal on all ranks).

        Args:
            z: Embeddings of V views, of length 1, shape (V, B, D); B may
                differ between ranks.
            queue: This rank's share of earlier embeddings of the assigned
                views, shape (A, Q, D).

        Returns:
            ``loss_swap``; for the log ``prior_kl`` and ``p_bar_entropy`` of
            the mean prediction p_bar, ``target_prototypes`` (number of
            distinct prototypes that are some target's largest entry) and
            ``target_max`` (mean of the targets' largest entries).
        """
        self._check_width(z)
        if len(z) < max(2, self.assigned_views):
            raise UserError(
                f'SwAV got {len(z)} views of each image, and needs at least two and '
                f'assigned_views={self.assigned_views}'
            )
        # In float32 also under autocast: scores / 0.05 and logsumexp need the digits.
        with torch.autocast(z.device.type, enabled=False):
            z = z.to(torch.promote_types(z.dtype, torch.float32))
            q = torch.stack(
                [
                    self.targets(z[a].detach(), None if queue is None else queue[a])
                    for a in range(self.assigned_views)
                ]
            )
            log_p = F.log_softmax(z @ self.prototypes.T / self.temperature, -1)
            loss = global_mean(swapped_cross_entropy(q, log_p))
            with torch.no_grad():
                log_mean = distributed_log_mean_exp(log_p.flatten(0, 1))
                return dict(
                    loss_swap=loss,
                    prior_kl=kl_divergence(log_mean, self._prior_or_raise()),
                    p_bar_entropy=entropy(log_mean),
                    **self._target_diagnostics(q),
                )

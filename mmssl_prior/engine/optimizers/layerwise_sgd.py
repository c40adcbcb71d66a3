from collections.abc import Callable, Iterable, Sequence

import torch
from mmpretrain.registry import OPTIMIZERS
from torch import Tensor
from torch.optim import Optimizer

from ...errors import UserError

__all__ = ['LayerwiseSGD']

EXCLUSIONS = ('adaptation', 'decay')


@OPTIMIZERS.register_module()
class LayerwiseSGD(Optimizer):
    r"""SGD with layer-wise adaptive rates (LARS, LARC), in the form each recipe uses.

    With gradient g of a tensor w, decay :math:`\lambda` and trust coefficient
    :math:`\eta`:

    .. math::
        d &= g + \lambda w, \qquad
        r = \eta \frac{\|w\|}{\text{norm} + \epsilon}, \qquad
        \text{norm} = \begin{cases}
            \|g + \lambda w\| & \text{trust_norm='update'} \\
            \|g\| + \lambda \|w\| & \text{trust_norm='separate'}
        \end{cases} \\
        &\begin{cases}
            m \leftarrow \mu m + r d, \quad w \leftarrow w - \gamma m
                & \text{lr_in_momentum=False} \\
            m \leftarrow \mu m + \gamma r d, \quad w \leftarrow w - m
                & \text{lr_in_momentum=True}
        \end{cases}

    with learning rate :math:`\gamma` and momentum :math:`\mu`; r is 1 where a
    norm is 0. The two places of :math:`\gamma` differ while it changes: inside,
    a step that was taken at a high rate keeps it in the momentum.

    ========================  ==========  ==============  =========
    recipe                    trust_norm  lr_in_momentum  exclude_1d
    ========================  ==========  ==============  =========
    LARS of VICReg, MAE       update      False           both
    LARS of SimCLR            update      True            both
    LARS of MMPretrain, with  separate    True            both
    the LARS paper's norms
    LARC of SwAV (apex,       separate    False           none
    ``clip=False``)
    ========================  ==========  ==============  =========

    All tensors of a group are updated by a few fused kernels.

    Args:
        params: Parameters or groups; a group may set any of the below.
        lr: gamma.
        momentum: mu.
        weight_decay: lambda.
        eta: Trust coefficient.
        eps: Added to the norm: 1e-8 in MMPretrain and apex, 0 in SimCLR
            and VICReg.
        trust_norm: ``'update'`` or ``'separate'``, see above.
        lr_in_momentum: See above.
        exclude_1d: What tensors of at most one dimension (biases, norms) are
            spared: ``'adaptation'`` (r = 1), ``'decay'`` (lambda = 0), both or
            none.

    Raises:
        ValueError: If a number is negative or a choice unknown.

    References:
        You, Gitman, Ginsburg, Large Batch Training of Convolutional Networks,
        2017; the releases of SimCLR, VICReg, MAE and SwAV.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([[3., 4.]]))
        >>> w.grad = torch.tensor([[0., 2.]])
        >>> LayerwiseSGD([w], lr=1., eta=0.1).step()  # r = 0.1 * 5 / 2
        >>> w.data
        tensor([[3.0000, 3.5000]])
    """

    #: That a step leaves weights and moments alone where the scalar ``found_inf`` is 1.
    withholds_on_device = True
    found_inf: Tensor

    def __init__(
        self,
        params: Iterable,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        eta: float = 1e-3,
        eps: float = 0.0,
        trust_norm: str = 'update',
        lr_in_momentum: bool = False,
        exclude_1d: Sequence[str] = EXCLUSIONS,
    ) -> None:
        defaults = dict(
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            eta=eta,
            eps=eps,
            trust_norm=trust_norm,
            lr_in_momentum=lr_in_momentum,
            exclude_1d=exclude_1d,
        )
        super().__init__(params, defaults)
        for group in self.param_groups:
            _check(group)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group['params'] if p.grad is not None]
            exclude = group['exclude_1d']
            for spared in (False, True):
                chosen = [p for p in params if (p.ndim <= 1) == spared]
                if chosen:
                    decay = 0.0 if spared and 'decay' in exclude else group['weight_decay']
                    adapted = not (spared and 'adaptation' in exclude)
                    self._update(chosen, group, decay, adapted)
        return loss

    def _update(self, params: list[Tensor], group: dict, decay: float, adapted: bool) -> None:
        grads = [p.grad for p in params if p.grad is not None]
        # A copy in any case: gradients are not changed.
        updates = list(torch._foreach_add(grads, params, alpha=decay))
        if adapted:
            rates = _trust_rates(params, grads, updates, group, decay)
            torch._foreach_mul_(updates, list(rates.unbind()))
        withheld = getattr(self, 'found_inf', None)
        if withheld is not None:
            # No product: nothing times NaN is NaN.
            updates = [u.masked_fill(withheld > 0, 0.0) for u in updates]
        inside, outside = (group['lr'], 1.0) if group['lr_in_momentum'] else (1.0, group['lr'])
        if group['momentum']:
            for p in params:
                if 'momentum_buffer' not in self.state[p]:
                    self.state[p]['momentum_buffer'] = torch.zeros_like(p)
            buffers = [self.state[p]['momentum_buffer'] for p in params]
            momentum = group['momentum']
            if withheld is not None:
                momentum = torch.full_like(withheld, momentum, dtype=params[0].dtype)
                momentum.masked_fill_(withheld > 0, 1.0)
            torch._foreach_mul_(buffers, momentum)
            torch._foreach_add_(buffers, updates, alpha=inside)
            updates, inside = buffers, 1.0
            if withheld is not None:
                updates = list(torch._foreach_mul(buffers, (1 - withheld).to(params[0].dtype)))
        torch._foreach_add_(params, updates, alpha=-inside * outside)


def _trust_rates(
    params: list[Tensor], grads: list[Tensor], updates: list[Tensor], group: dict, decay: float
) -> Tensor:
    """Rate r of each tensor, shape (number of tensors,)."""
    size = torch.stack(torch._foreach_norm(params))
    if group['trust_norm'] == 'update':
        norm = torch.stack(torch._foreach_norm(updates))
        moving = norm > 0
    else:
        norm = torch.stack(torch._foreach_norm(grads))
        moving = norm > 0
        norm = norm + decay * size
    rates = group['eta'] * size / (norm + group['eps'])
    return torch.where((size > 0) & moving, rates, torch.ones_like(rates))


def _check(group: dict) -> None:
    for name in ('lr', 'momentum', 'weight_decay', 'eta', 'eps'):
        if not group[name] >= 0:
            raise UserError(f'LayerwiseSGD: {name} must be >= 0, got {group[name]}')
    if group['trust_norm'] not in ('update', 'separate'):
        raise UserError(
            f"LayerwiseSGD: trust_norm must be 'update' or 'separate', got {group['trust_norm']!r}"
        )
    exclude = group['exclude_1d']
    if isinstance(exclude, str) or not set(exclude) <= set(EXCLUSIONS):
        raise UserError(
            f'LayerwiseSGD: exclude_1d must be a list of {list(EXCLUSIONS)} or empty, '
            f'got {exclude!r}'
        )

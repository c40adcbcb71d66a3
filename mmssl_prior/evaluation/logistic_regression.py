"""Multinomial logistic regression, on whatever device the features are."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError

__all__ = ['LogisticRegression']


class LogisticRegression:
    r"""Multinomial logistic regression without intercept, L2-penalised.

    .. math:: \min_W \frac{1}{n} \Bigl( \sum_i -\log \mathrm{softmax}_{y_i}(W x_i)
              + \frac{\lambda}{2} \|W\|^2 \Bigr)

    which is scikit-learn's with ``C = 1 / lambda``. The objective is strictly
    convex; L-BFGS in double precision finds its one minimum from W = 0,
    without chance.

    Args:
        l2: Lambda > 0.
        max_iter: Limit of iterations.
        tolerance: Training ends when no entry of the gradient exceeds it.

    Attributes:
        weight: W, float64 of shape (C, D), after :meth:`fit`.
        converged: Whether the tolerance was reached.

    Raises:
        ValueError: If lambda is not positive, shapes disagree, a feature is
            not finite or a label is out of range.

    Example:
        >>> x, y = torch.tensor([[-1., 1.], [1., 1.], [2., 1.]]), torch.tensor([0, 1, 1])
        >>> LogisticRegression(l2=0.1).fit(x, y, 2).predict(torch.tensor([[-2., 1.], [3., 1.]]))
        tensor([0, 1])
    """

    def __init__(self, l2: float, max_iter: int = 500, tolerance: float = 1e-6) -> None:
        if not l2 > 0:
            raise UserError(f'l2 must be positive, got {l2}')
        self.l2 = l2
        self.max_iter = max_iter
        self.tolerance = tolerance
        self.weight: Tensor | None = None
        self.converged = False

    def fit(self, x: Tensor, y: Tensor, num_classes: int) -> 'LogisticRegression':
        """Find the weights.

        Args:
            x: Features of shape (N, D).
            y: Labels in [0, num_classes), shape (N,).
            num_classes: C; classes may be absent.
        """
        if x.ndim != 2 or y.shape != x.shape[:1] or not len(x):
            raise UserError(
                f'features of shape {tuple(x.shape)} and labels of shape {tuple(y.shape)}; '
                'expected (N, D) and (N,)'
            )
        if not torch.isfinite(x).all():
            raise UserError('features are not finite: the model has diverged, or was not loaded')
        if y.min() < 0 or y.max() >= num_classes:
            raise UserError(
                f'labels from {y.min()} to {y.max()} are outside the {num_classes} classes'
            )
        x, y = x.detach().double(), y.to(x.device)
        weight = x.new_zeros(num_classes, x.shape[1], requires_grad=True)
        solver = torch.optim.LBFGS(
            [weight],
            max_iter=self.max_iter,
            max_eval=2 * self.max_iter,
            tolerance_grad=self.tolerance,
            tolerance_change=0.0,
            history_size=20,
            line_search_fn='strong_wolfe',
        )

        def objective() -> Tensor:
            weight.grad = None
            loss = F.cross_entropy(x @ weight.T, y)
            loss = loss + self.l2 / (2 * len(x)) * weight.square().sum()
            loss.backward()
            return loss

        # The caller may run under no_grad, as evaluations do.
        with torch.enable_grad():
            solver.step(objective)
            objective()
        assert weight.grad is not None
        self.converged = bool(weight.grad.abs().max() <= self.tolerance)
        self.weight = weight.detach()
        return self

    def predict(self, x: Tensor) -> Tensor:
        """Labels of features of shape (N, D)."""
        if self.weight is None:
            raise UserError('LogisticRegression.predict before fit')
        return (x.to(self.weight) @ self.weight.T).argmax(1)

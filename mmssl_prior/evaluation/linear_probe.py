"""Linear probe on fixed features."""

import warnings
from typing import NamedTuple

import torch
from torch import Tensor

from .accuracy import class_mean_top1, top1

__all__ = ['LinearProbeScores', 'linear_probe']


class LinearProbeScores(NamedTuple):
    """Scores on the test features, fractions in [0, 1], and whether the solver converged."""

    top1: float
    class_mean_top1: float
    converged: bool


def linear_probe(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    C: float = 1.0,
    max_iter: int = 1000,
) -> LinearProbeScores:
    r"""Multinomial logistic regression on standardised features.

    .. math:: \min_{W, b} \frac{1}{2} \|W\|^2
              + C \sum_i -\log \mathrm{softmax}_{y_i} (W \hat x_i + b)

    with :math:`\hat x` centred and scaled by the mean and standard deviation
    of the training features (a constant feature is only centred). Solved by
    scikit-learn's L-BFGS; nothing is random.

    Args:
        train_x: Shape (N, D).
        train_y: Integer labels of shape (N,), of at least two classes.
        test_x: Shape (M, D).
        test_y: Shape (M,).
        C: Inverse strength of the L2 penalty, > 0.
        max_iter: Limit of solver iterations; reaching it is reported in the
            result, and the scores of the last iterate are returned.

    Returns:
        Top-1, its mean over classes, and convergence.

    Raises:
        ValueError: If shapes disagree, a feature is not finite, or
            ``train_y`` holds a single class.

    Example:
        >>> x, y = torch.tensor([[-2.], [-1.], [1.], [2.]]), torch.tensor([0, 0, 1, 1])
        >>> linear_probe(x, y, torch.tensor([[-3.], [3.], [4.]]), torch.tensor([0, 1, 0])).top1
        0.6666666666666666
    """
    # scikit-learn takes a second to import, and training never needs it.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=max_iter))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ConvergenceWarning)
        probe.fit(train_x.cpu().numpy(), train_y.cpu().numpy())
    predictions = torch.from_numpy(probe.predict(test_x.cpu().numpy()))
    labels = test_y.cpu()
    return LinearProbeScores(
        top1(predictions, labels),
        class_mean_top1(predictions, labels),
        bool(probe[-1].n_iter_.max() < max_iter),
    )

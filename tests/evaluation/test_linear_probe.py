import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

from mmssl_prior.evaluation import linear_probe


def _iris():
    x, y = (torch.from_numpy(a) for a in load_iris(return_X_y=True))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = x[order], y[order].long()
    return x[:100], y[:100], x[100:], y[100:]


def _minimise(x, y, classes, C, steps=2000):
    """Minimum of the penalised loss, found by torch in double precision."""
    weight = torch.zeros(x.shape[1], classes, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=steps, tolerance_grad=1e-10)

    def closure():
        optimizer.zero_grad()
        loss = C * torch.nn.functional.cross_entropy(x @ weight + bias, y, reduction='sum')
        loss = loss + weight.square().sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach(), bias.detach()


@pytest.mark.parametrize('C', [1.0, 0.001])
def test_equals_the_formula_minimised_independently(C):
    train_x, train_y, test_x, test_y = _iris()
    mean, std = train_x.mean(0), train_x.std(0, correction=0)
    weight, bias = _minimise((train_x - mean) / std, train_y, 3, C)
    predictions = ((test_x - mean) / std @ weight + bias).argmax(1)
    result = linear_probe(train_x, train_y, test_x, test_y, C=C)
    assert result.converged
    assert result.top1 == pytest.approx((predictions == test_y).double().mean().item())
    per_class = [(predictions == test_y)[test_y == c].double().mean().item() for c in range(3)]
    assert result.class_mean_top1 == pytest.approx(np.mean(per_class))


def test_scale_and_shift_of_features_do_not_matter():
    train_x, train_y, test_x, test_y = _iris()
    scale, shift = torch.tensor([1e3, 1e-3, 1.0, 50.0]), torch.tensor([-4.0, 1.0, 0.0, 1e4])
    assert linear_probe(train_x, train_y, test_x, test_y) == linear_probe(
        train_x * scale + shift, train_y, test_x * scale + shift, test_y
    )


def test_constant_feature_changes_nothing():
    train_x, train_y, test_x, test_y = _iris()
    expected = linear_probe(train_x, train_y, test_x, test_y)
    padded = (torch.nn.functional.pad(x, (0, 1), value=3.0) for x in (train_x, test_x))
    first, second = padded
    assert linear_probe(first, train_y, second, test_y).top1 == expected.top1


def test_unconverged_is_reported():
    assert not linear_probe(*_iris(), C=100.0, max_iter=2).converged


def test_bad_input():
    train_x, train_y, test_x, test_y = _iris()
    with pytest.raises(ValueError, match='class'):
        linear_probe(train_x, torch.zeros_like(train_y), test_x, test_y)
    with pytest.raises(ValueError, match='NaN'):
        linear_probe(train_x * float('nan'), train_y, test_x, test_y)
    with pytest.raises(ValueError, match='vectors of one length'):
        linear_probe(train_x, train_y, test_x, test_y[1:])

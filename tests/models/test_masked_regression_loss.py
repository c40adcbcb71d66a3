import pytest
import torch

from mmssl_prior.models import MaskedRegressionLoss


def rows(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_loss(pred, target, mask, criterion, beta):
    total, count = 0.0, 0
    for p_image, y_image, m_image in zip(pred.tolist(), target.tolist(), mask.tolist()):
        for p_token, y_token, hidden in zip(p_image, y_image, m_image):
            if not hidden:
                continue
            for p, y in zip(p_token, y_token):
                d = abs(p - y)
                if criterion == 'mse':
                    total += d * d
                else:
                    total += d * d / (2 * beta) if d < beta else d - beta / 2
                count += 1
    return total / count


@pytest.mark.parametrize(
    ('criterion', 'beta'), [('mse', 2.0), ('smooth_l1', 2.0), ('smooth_l1', 0.3)]
)
def test_equals_a_plain_loop(criterion, beta):
    pred, target = 3 * rows(0, 2, 5, 4), rows(1, 2, 5, 4)
    mask = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 1, 0, 0]])  # unequal numbers, as integers
    loss = MaskedRegressionLoss(criterion, beta)
    expected = plain_loss(pred, target, mask, criterion, beta)
    for m in (mask, mask.bool(), mask.float()):
        assert float(loss(pred, target, m)) == pytest.approx(expected)
    assert float(loss(pred[mask.bool()], target[mask.bool()])) == pytest.approx(expected)


def test_by_hand():
    pred, target = torch.tensor([[1.0, 5.0], [9.0, 9.0]]), torch.zeros(2, 2)
    mask = torch.tensor([True, False])
    # 1 / 4 and 5 - 1; 1 and 25
    assert float(MaskedRegressionLoss('smooth_l1', 2.0)(pred, target, mask)) == 2.125
    assert float(MaskedRegressionLoss('mse')(pred, target, mask)) == 13.0


@pytest.mark.parametrize('criterion', ['mse', 'smooth_l1'])
def test_gradient(criterion):
    mask = torch.tensor([[True, False, True]])
    target = rows(2, 1, 3, 4)
    pred = (4 * rows(3, 1, 3, 4)).requires_grad_()
    loss = MaskedRegressionLoss(criterion, beta=2.0)
    assert torch.autograd.gradcheck(lambda p: loss(p, target, mask), pred)
    loss(pred, target, mask).backward()
    assert not pred.grad[:, 1].any() and pred.grad[:, 0].any()


def test_laws():
    """Zero if and only if equal; tokens in another order change nothing; large beta is mse."""
    pred, target = rows(4, 6, 4), rows(5, 6, 4)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    for loss in (MaskedRegressionLoss('mse'), MaskedRegressionLoss('smooth_l1')):
        assert float(loss(pred, pred)) == 0 < float(loss(pred, target))
        torch.testing.assert_close(loss(pred[order], target[order]), loss(pred, target))
    square = MaskedRegressionLoss('mse')(pred, target)
    torch.testing.assert_close(MaskedRegressionLoss('smooth_l1', 1e3)(pred, target) * 2e3, square)


def test_half_precision_is_computed_in_float32():
    pred, target = rows(6, 3, 4).bfloat16(), rows(7, 3, 4).float()
    loss = MaskedRegressionLoss()(pred, target)
    torch.testing.assert_close(loss, (pred.float() - target).square().mean())


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [(dict(criterion='l1'), 'criterion'), (dict(criterion='smooth_l1', beta=0.0), 'beta')],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        MaskedRegressionLoss(**kwargs)


def test_shapes_that_disagree():
    loss = MaskedRegressionLoss()
    with pytest.raises(ValueError, match='disagree'):
        loss(torch.zeros(2, 3), torch.zeros(3, 3))
    with pytest.raises(ValueError, match='disagree'):
        loss(torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(3))

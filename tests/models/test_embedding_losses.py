"""The loss classes: terms, weights, errors."""

import pytest
import torch

from mmssl_prior.functional import nt_xent, off_diagonal_covariance, variance_hinge
from mmssl_prior.models import EmbeddingHead, NTXentLoss, VICRegLoss


def embeddings(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_vicreg_has_the_halves_as_released():
    z = 0.4 * embeddings(2, 5, 3)
    losses = VICRegLoss(2.0, 3.0, 5.0)(z)
    torch.testing.assert_close(losses['loss_invariance'], 2 * (z[0] - z[1]).pow(2).mean())
    torch.testing.assert_close(
        losses['loss_variance'], 3 * (variance_hinge(z[0]) / 2 + variance_hinge(z[1]) / 2)
    )
    torch.testing.assert_close(
        losses['loss_covariance'],
        5 * (off_diagonal_covariance(z[0]) + off_diagonal_covariance(z[1])),
    )


def test_vicreg_by_hand():
    """One dimension, values 0 and 0.2: variance 0.02; views 0.1 apart."""
    x = torch.tensor([[0.0], [0.2]])
    losses = VICRegLoss()(torch.stack([x, x + 0.1]))
    assert float(losses['loss_invariance']) == pytest.approx(25 * 0.01)
    assert float(losses['loss_variance']) == pytest.approx(25 * (1 - (0.02 + 1e-4) ** 0.5))
    assert float(losses['loss_covariance']) == 0


def test_vicreg_gradients():
    z = (0.3 * embeddings(2, 4, 3)).requires_grad_()
    loss = VICRegLoss()
    assert torch.autograd.gradcheck(lambda x: sum(loss(x).values()), z)


def test_nt_xent_is_the_mean_with_its_weight():
    z = embeddings(2, 5, 3)
    (value,) = NTXentLoss(0.2, loss_weight=3.0)(z).values()
    torch.testing.assert_close(value, 3 * nt_xent(z, 0.2).mean())


def test_head_computes_in_float32_under_autocast():
    head = EmbeddingHead(dict(type='NTXentLoss'))
    z = embeddings(2, 5, 3).bfloat16()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = head.loss(z)
    assert losses['loss_contrast'].dtype == torch.float32
    torch.testing.assert_close(losses['loss_contrast'], nt_xent(z.float(), 0.1).mean())
    assert set(losses) == {'loss_contrast', 'spherical_variance'}


@pytest.mark.parametrize(
    ('cls', 'kwargs', 'message'),
    [
        (NTXentLoss, dict(temperature=0.0), 'temperature'),
        (NTXentLoss, dict(loss_weight=-1.0), 'loss_weight'),
        (VICRegLoss, dict(invariance_weight=-1.0), 'invariance_weight'),
        (VICRegLoss, dict(variance_weight=-1.0), 'variance_weight'),
        (VICRegLoss, dict(covariance_weight=float('nan')), 'covariance_weight'),
        (VICRegLoss, dict(eps=0.0), 'eps'),
    ],
)
def test_bad_arguments(cls, kwargs, message):
    with pytest.raises(ValueError, match=message):
        cls(**kwargs)


def test_vicreg_of_a_single_image():
    with pytest.raises(ValueError, match='at least two images .*batch_size'):
        VICRegLoss()(embeddings(2, 1, 3))

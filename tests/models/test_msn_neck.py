"""The projection: layers, initialisation, errors."""

import pytest
import torch
from mmpretrain.registry import MODELS

from mmssl_prior.errors import UserError
from mmssl_prior.models import MSNNeck

from .msn_reference import projection


def build(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(type='MSNNeck', **kwargs))


def test_against_plain_layers():
    neck = build(in_channels=6, hid_channels=5, out_channels=4)
    x = torch.randn(8, 6)
    weights = {name: value.clone() for name, value in neck.state_dict().items()}
    torch.testing.assert_close(neck(x), projection(weights, x))
    for name in ('bn1.running_mean', 'bn2.running_var'):
        torch.testing.assert_close(neck.state_dict()[name], weights[name])


def test_released_sizes_and_initialisation():
    neck = build(in_channels=384)
    neck.init_weights()
    assert (neck.fc1.out_features, neck.fc2.out_features, neck.fc3.out_features) == (
        2048,
        2048,
        256,
    )
    for layer in (neck.fc1, neck.fc2, neck.fc3):
        assert float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
        assert float(layer.bias.detach().abs().max()) == 0


def test_norm_of_choice():
    neck = MSNNeck(6, 5, 4, norm_cfg=dict(type='BN1d', momentum=0.5))
    assert isinstance(neck.bn1, torch.nn.BatchNorm1d) and neck.bn1.momentum == 0.5


@pytest.mark.parametrize('shape', [(2, 5), (2, 6, 3, 3)])
def test_features_that_do_not_fit(shape):
    with pytest.raises(ValueError, match=r'in_channels=6'):
        build(in_channels=6)(torch.zeros(shape))


def test_a_single_image_has_no_statistics():
    neck = MSNNeck(6, 5, 4)
    with pytest.raises(UserError, match='more than one image in a step: raise .*batch_size'):
        neck(torch.randn(1, 6))
    assert neck.eval()(torch.randn(1, 6)).shape == (1, 4)

"""Pooling of tokens: hand values, as a neck, errors."""

import pytest
import torch
from mmpretrain.registry import MODELS

from mmssl_prior.models import TokenPool


def tokens():
    return torch.tensor([[[9.0, 8.0], [1.0, 2.0], [3.0, 6.0]]])


@pytest.mark.parametrize(
    ('kwargs', 'expected'),
    [
        (dict(), [9.0, 8.0]),
        (dict(mode='avg'), [2.0, 4.0]),
        (dict(mode='avg', num_prefix_tokens=2), [3.0, 6.0]),
        (dict(mode='avg', num_prefix_tokens=0), [13 / 3, 16 / 3]),
    ],
)
def test_hand_values(kwargs, expected):
    pool = MODELS.build(dict(type='TokenPool', **kwargs))
    torch.testing.assert_close(pool(tokens()), torch.tensor([expected]))
    assert not pool.state_dict() and not list(pool.parameters())


def test_a_map_with_channels_last():
    x = torch.randn(2, 3, 4, 5)
    pool = TokenPool('avg', num_prefix_tokens=0)
    torch.testing.assert_close(pool(x), x.mean((1, 2)))


def test_as_a_neck_it_takes_the_tuple_of_a_backbone():
    first, second = TokenPool('avg')((tokens(), 2 * tokens()))
    torch.testing.assert_close(second, 2 * first)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(mode='cls'), "mode must be one of .*got 'cls'"),
        (dict(num_prefix_tokens=-1), 'num_prefix_tokens must be >= 0, got -1'),
        (dict(mode='token', num_prefix_tokens=0), "set mode='avg'"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TokenPool(**kwargs)


@pytest.mark.parametrize('shape', [(2, 5), (2, 3, 4, 4), (2, 1, 5)])
def test_what_are_no_tokens(shape):
    with pytest.raises(ValueError, match='expected tokens'):
        TokenPool()(torch.zeros(shape))

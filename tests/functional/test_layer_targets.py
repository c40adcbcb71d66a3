"""data2vec's targets and the measure of collapse, against plain recomputations."""

import math

import pytest
import torch

from mmssl_prior.functional import batch_std, layer_targets


def rows(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_norm(token):
    """Layer normalisation of a list of numbers, without scale and shift."""
    mean = sum(token) / len(token)
    var = sum((v - mean) ** 2 for v in token) / len(token)
    return [(v - mean) / math.sqrt(var + 1e-5) for v in token]


def plain_targets(layers):
    """One token after the other, one channel after the other."""
    images, tokens, _ = layers[0].shape
    out = []
    for b in range(images):
        out.append([])
        for t in range(tokens):
            normed = [plain_norm(layer[b, t].tolist()) for layer in layers]
            mean = [sum(values) / len(values) for values in zip(*normed)]
            out[-1].append(plain_norm(mean))
    return torch.tensor(out, dtype=torch.float64)


def test_targets_equal_a_plain_recomputation():
    layers = [(1 + i) * rows(i, 2, 3, 5) + i for i in range(3)]
    torch.testing.assert_close(layer_targets(layers), plain_targets(layers))


def test_targets_of_one_layer_by_hand():
    # Normalised: +-1 / sqrt(1 + 1e-5), and once more.
    once = 1 / math.sqrt(1 + 1e-5)
    twice = once / math.sqrt(once**2 + 1e-5)
    y = layer_targets([torch.tensor([1.0, 3.0], dtype=torch.float64)])
    torch.testing.assert_close(y, torch.tensor([-twice, twice], dtype=torch.float64))


def test_each_layer_counts_alike_whatever_its_scale_and_offset():
    layers = [rows(i, 2, 3, 8) for i in range(3)]
    scaled = [layers[0], 100 * layers[1] - 7, layers[2]]
    torch.testing.assert_close(layer_targets(scaled), layer_targets(layers), rtol=1e-4, atol=1e-4)


def test_every_token_has_mean_zero_and_variance_one():
    y = layer_targets([rows(i, 4, 3, 16) for i in range(2)])
    torch.testing.assert_close(y.mean(-1), torch.zeros(4, 3, dtype=torch.float64))
    torch.testing.assert_close(
        y.var(-1, unbiased=False), torch.ones(4, 3, dtype=torch.float64), rtol=1e-4, atol=0
    )


def test_half_precision_is_computed_in_float32():
    layers = [rows(i, 2, 3, 8).bfloat16() for i in range(2)]
    y = layer_targets(layers)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, layer_targets([a.float() for a in layers]))


def test_gradient():
    layers = [rows(i, 2, 4).requires_grad_() for i in range(2)]
    assert torch.autograd.gradcheck(lambda *a: layer_targets(a), layers)


def plain_instance_targets(layers):
    """One channel after the other, over the positions of one image."""
    images, tokens, channels = layers[0].shape
    out = torch.empty(images, tokens, channels, dtype=torch.float64)
    for b in range(images):
        for c in range(channels):
            normed = [plain_norm(layer[b, :, c].tolist()) for layer in layers]
            mean = [sum(values) / len(values) for values in zip(*normed)]
            out[b, :, c] = torch.tensor(mean, dtype=torch.float64)
    return out


def test_instance_targets_equal_a_plain_recomputation():
    layers = [(1 + i) * rows(i, 2, 4, 3) + i for i in range(3)]
    torch.testing.assert_close(layer_targets(layers, 'instance'), plain_instance_targets(layers))


def test_instance_targets_do_not_hold_what_is_alike_all_over_an_image():
    layers = [rows(i, 2, 6, 5) for i in range(2)]
    lit = [a + rows(9, 2, 1, 5) for a in layers]
    y = layer_targets(layers, 'instance')
    torch.testing.assert_close(layer_targets(lit, 'instance'), y)
    torch.testing.assert_close(y.mean(-2), torch.zeros(2, 5, dtype=torch.float64))
    assert not torch.allclose(layer_targets(lit), layer_targets(layers), atol=0.1)


def test_gradient_of_instance_targets():
    layers = [rows(i, 3, 2).requires_grad_() for i in range(2)]
    assert torch.autograd.gradcheck(lambda *a: layer_targets(a, 'instance'), layers)


@pytest.mark.parametrize(
    ('layers', 'norm', 'message'),
    [
        ([], 'layer', 'at least one layer'),
        ([torch.zeros(2, 3)], 'batch', "one of \\['layer', 'instance'\\], got 'batch'"),
        ([torch.zeros(1, 3)], 'instance', 'two positions, got layers of shape \\(1, 3\\)'),
        ([torch.zeros(3)], 'instance', 'two positions'),
    ],
)
def test_bad_arguments(layers, norm, message):
    with pytest.raises(ValueError, match=message):
        layer_targets(layers, norm)


def test_batch_std_is_the_mean_standard_deviation():
    x = rows(0, 7, 3)
    torch.testing.assert_close(batch_std(x), x.std(0, unbiased=False).mean())
    assert float(batch_std(x[:1].expand(5, 3))) == pytest.approx(0, abs=1e-12)
    assert not batch_std(x.requires_grad_()).requires_grad

import math

import numpy as np
import pytest
import torch
from PIL import Image

from mmssl_prior.errors import UserError
from mmssl_prior.functional import (
    blend,
    blur,
    box_blur_taps,
    grayscale,
    luma,
    resampled_crops,
    resampling_weights,
    shift_hue,
    solarize,
)


def images(number=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (number, 3, 9, 7), generator=generator).float()


def triangle_row(length, start, extent, size, i):
    """Weights of one output pixel, pixel by pixel."""
    scale = extent / size
    center = start + (i + 0.5) * scale
    row = []
    for j in range(length):
        inside = start < j + 0.5 < start + extent
        row.append(inside * max(0, 1 - abs(j + 0.5 - center) / max(scale, 1)))
    return [weight / sum(row) for weight in row]


@pytest.mark.parametrize(
    ('start', 'extent', 'size'), [(2, 12, 5), (0, 20, 20), (3, 4, 9), (1.5, 9.25, 4)]
)
def test_weights_against_a_plain_loop(start, extent, size):
    start, extent = torch.tensor(start).double(), torch.tensor(extent).double()
    weights = resampling_weights(20, start, extent, size)
    expected = [triangle_row(20, float(start), float(extent), size, i) for i in range(size)]
    torch.testing.assert_close(weights, torch.tensor(expected).double())
    torch.testing.assert_close(weights.sum(-1), torch.ones(size).double())
    mirrored = resampling_weights(20, start, extent, size, mirrored=torch.tensor(True))
    torch.testing.assert_close(mirrored, weights.flip(0))


@pytest.mark.parametrize('name', ['bilinear', 'bicubic', 'box', 'hamming', 'lanczos'])
@pytest.mark.parametrize('size', [(6, 5), (31, 40)])
def test_filters_are_those_of_pil(name, size):
    values = np.random.default_rng(0).uniform(0, 255, (24, 18)).astype(np.float32)
    method = Image.Resampling[name.upper()]
    expected = np.asarray(Image.fromarray(values).resize(size[::-1], method))
    rows, columns = (
        resampling_weights(length, torch.zeros(1, 1), torch.full((1, 1), float(length)), n, name)
        for length, n in zip(values.shape, size)
    )
    made = resampled_crops(torch.from_numpy(values)[None, :, :, None], rows, columns)
    np.testing.assert_allclose(made[0, 0, 0].numpy(), expected, atol=2e-3)


def test_crops_of_a_batch_are_crops_of_each():
    generator = torch.Generator().manual_seed(1)
    source = torch.rand(2, 20, 16, 3, generator=generator)
    start, extent = torch.tensor([[0.0, 3], [5, 2]]), torch.tensor([[8.0, 9], [10, 14]])
    rows = resampling_weights(20, start, extent, 6)
    columns = resampling_weights(16, start, extent - 1, 4)
    made = resampled_crops(source, rows, columns)
    expected = torch.einsum('bvhy,byxc,bvwx->bvchw', rows, source, columns)
    torch.testing.assert_close(made, expected)


def test_unknown_filter():
    with pytest.raises(UserError, match=r"interpolation must be one of \['bilinear'.*'nearest'"):
        resampling_weights(4, torch.tensor(0.0), torch.tensor(4.0), 2, 'nearest')


def test_neutral_parameters_change_nothing():
    x, ones, zeros = images(), torch.ones(3), torch.zeros(3)
    assert torch.equal(blend(x, ones, zeros, zeros), x)
    assert torch.equal(shift_hue(x, zeros), x)
    assert torch.equal(grayscale(x, zeros), x)
    assert torch.equal(solarize(x, torch.full((3,), 256.0)), x)
    identity = torch.from_numpy(box_blur_taps(0.0, 4)).expand(3, -1)
    assert torch.equal(blur(x, identity), x)


def test_each_image_has_parameters_of_its_own():
    x = images(4)
    factor, pixel, mean = torch.tensor([[1.4, 0.5, 1.3, 1], [0, 0, 1, 0], [0, 1, 0, 0]])
    made = blend(x, factor, pixel, mean)
    one = [blend(x[k : k + 1], *(p[k : k + 1] for p in (factor, pixel, mean))) for k in range(4)]
    assert torch.equal(made, torch.cat(one))
    assert torch.equal(made[0], (x[0] * 1.4).clamp(0, 255).floor())
    average = luma(x)[1].mean().round()
    assert torch.equal(made[1], (0.5 * x[1] + 0.5 * average).floor())
    assert torch.equal(made[3], x[3])


def test_hue_turns_back_and_around():
    x = 40 + 2 * (images() / 4).round()
    torch.testing.assert_close(shift_hue(x, torch.ones(3)), x, rtol=0, atol=1)
    # Thirds of the circle exchange the channels.
    third = shift_hue(x, torch.full((3,), 1 / 3))
    torch.testing.assert_close(third, x[:, [2, 0, 1]], rtol=0, atol=1)
    grey = luma(x).expand_as(x)
    assert torch.equal(shift_hue(grey, torch.full((3,), 0.2)), grey)


@pytest.mark.parametrize('radius', [0.1, 0.5, 1.0, 1.7, 2.0, 4.3])
def test_blur_has_the_variance_of_the_gaussian(radius):
    taps = box_blur_taps(radius).astype(np.float64)
    offsets = np.arange(len(taps)) - len(taps) // 2
    assert taps.min() >= 0 and math.isclose(taps.sum(), 1, rel_tol=1e-6)
    assert math.isclose(taps @ offsets**2, radius**2, rel_tol=1e-5)
    flat = torch.full((1, 3, 8, 9), 93.0)
    assert torch.equal(blur(flat, torch.from_numpy(taps[None]).float()), flat)

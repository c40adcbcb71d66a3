import numpy as np
import pytest
import torch
from mmcv.transforms import Normalize
from PIL import Image

from mmssl_prior.errors import UserError
from mmssl_prior.visualization import to_rgb_array

# Orange, which no swap of channels leaves alone.
RGB = [[[250, 120, 10], [0, 0, 0]]]
PIL = Image.fromarray(np.array(RGB, np.uint8))
BGR = np.array(RGB, np.uint8)[..., ::-1]


@pytest.mark.parametrize(
    'image',
    [
        BGR,
        PIL,
        torch.tensor(RGB, dtype=torch.uint8).movedim(-1, 0),
        torch.tensor(RGB).movedim(-1, 0) / 255,
        BGR.astype(np.float32),
    ],
    ids=['array', 'pil', 'tensor', 'float tensor', 'float array'],
)
def test_colours_are_right(image):
    assert to_rgb_array(image).tolist() == RGB
    assert to_rgb_array(image).dtype == np.uint8


@pytest.mark.parametrize('to_rgb', [True, False])
def test_normalisation_is_undone(to_rgb):
    step = Normalize(mean=[123.7, 116.3, 103.5], std=[58.4, 57.1, 57.4], to_rgb=to_rgb)
    results = step(dict(img=BGR.copy()))
    assert to_rgb_array(results['img'], results['img_norm_cfg']).tolist() == RGB


def test_unknown_normalisation_is_stretched():
    values = torch.tensor([[[-2.0, 2.0]]]).expand(3, 1, 2)
    assert to_rgb_array(values).tolist() == [[[0] * 3, [255] * 3]]


def test_grey():
    assert to_rgb_array(np.array([[7]], np.uint8)).tolist() == [[[7, 7, 7]]]


def test_no_image():
    with pytest.raises(UserError, match=r'shape \(2, 2, 5\): it has no 1 or 3 channels'):
        to_rgb_array(np.zeros((2, 2, 5)))

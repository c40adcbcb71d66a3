import itertools
import random
from collections import Counter

import numpy as np
import pytest
import torch
import torchvision.transforms as T
import torchvision.transforms.functional as F
from mmpretrain.registry import TRANSFORMS
from PIL import Image, ImageFilter
from scipy.stats import ks_2samp, kstest

from mmssl_prior.datasets import (
    EpochIndex,
    SeededColorJitter,
    SeededFlip,
    SeededGaussianBlur,
    SeededGrayscale,
    SeededRandomResizedCrop,
    SeededSolarize,
)
from mmssl_prior.datasets.transforms import seeded_color
from mmssl_prior.datasets.transforms.seeded_transform import (
    array_to_pil,
    pil_to_array,
    seeded_globals,
)

ALL = [
    SeededRandomResizedCrop(24),
    SeededRandomResizedCrop((16, 30), (0.05, 0.3), interpolation='bicubic'),
    SeededFlip(1.0),
    SeededFlip(1.0, 'vertical'),
    SeededColorJitter(0.4, 0.4, 0.4, 0.1),
    SeededGrayscale(1.0),
    SeededGaussianBlur(prob=1.0),
    SeededSolarize(prob=1.0),
]


@pytest.fixture
def image():
    values = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((48, 36), Image.Resampling.BICUBIC)


def rng(seed=0):
    return np.random.default_rng(seed)


def same(one, two):
    np.testing.assert_array_equal(np.asarray(one), np.asarray(two))


@pytest.mark.parametrize(
    ('ours', 'theirs'),
    [
        (SeededRandomResizedCrop(20, (1, 1), (1, 1)), T.RandomResizedCrop(20, (1, 1), (1, 1))),
        (
            SeededRandomResizedCrop((20, 31), (1, 1), (4 / 3, 4 / 3), 'bicubic'),
            T.Resize((20, 31), T.InterpolationMode.BICUBIC),
        ),
        (SeededFlip(1.0), T.RandomHorizontalFlip(1.0)),
        (SeededFlip(1.0, 'vertical'), T.RandomVerticalFlip(1.0)),
        (SeededColorJitter(brightness=(1.3, 1.3)), T.ColorJitter(brightness=(1.3, 1.3))),
        (SeededColorJitter(contrast=(0.7, 0.7)), T.ColorJitter(contrast=(0.7, 0.7))),
        (SeededColorJitter(saturation=(1.4, 1.4)), T.ColorJitter(saturation=(1.4, 1.4))),
        (SeededColorJitter(hue=(-0.07, -0.07)), T.ColorJitter(hue=(-0.07, -0.07))),
        (SeededColorJitter(hue=(0.09, 0.09)), T.ColorJitter(hue=(0.09, 0.09))),
        (SeededGrayscale(1.0), T.Grayscale(3)),
        (SeededSolarize(100, 1.0), T.RandomSolarize(100, 1.0)),
    ],
    ids=lambda t: type(t).__name__,
)
def test_equal_to_torchvision_with_the_same_parameters(ours, theirs, image):
    if isinstance(theirs, T.RandomResizedCrop):
        image = image.crop((0, 0, 36, 36))
    same(ours.apply(image, rng()), theirs(image))


def test_random_crop_is_the_crop_drawn(image):
    crop = SeededRandomResizedCrop((20, 24), (0.1, 0.5))
    top, left, height, width = crop.draw(*image.size, rng(3))
    expected = F.resize(F.crop(image, top, left, height, width), (20, 24))
    same(crop.apply(image, rng(3)), expected)


def test_blur_is_that_of_pil(image):
    blurred = SeededGaussianBlur((1.3, 1.3), 1.0).apply(image, rng())
    same(blurred, image.filter(ImageFilter.GaussianBlur(1.3)))


def test_jitter_applies_its_operations_in_every_order(image):
    steps = (
        (F.adjust_brightness, 1.3),
        (F.adjust_contrast, 0.6),
        (F.adjust_saturation, 1.5),
        (F.adjust_hue, 0.2),
    )
    jitter = SeededColorJitter(*((f, f) for _, f in steps))
    expected = {}
    for order in itertools.permutations(steps):
        output = image
        for adjust, factor in order:
            output = adjust(output, factor)
        expected.setdefault(output.tobytes(), len(expected))
    generator = rng()
    seen = Counter(expected[jitter.apply(image, generator).tobytes()] for _ in range(400))
    assert len(seen) == len(expected) > 12


@pytest.mark.parametrize('size', [(800, 600), (40, 40), (30, 200)])
@pytest.mark.parametrize('scale', [(0.3, 1.0), (0.05, 0.3)])
def test_crops_are_distributed_as_in_torchvision(size, scale):
    crop = SeededRandomResizedCrop(24, scale)
    generator = rng()
    ours = np.array([crop.draw(*size, generator) for _ in range(3000)])
    blank = Image.new('RGB', size)
    with seeded_globals(rng()):
        theirs = np.array(
            [
                T.RandomResizedCrop.get_params(blank, list(scale), [3 / 4, 4 / 3])
                for _ in range(3000)
            ]
        )
    for k in range(4):
        assert ks_2samp(ours[:, k], theirs[:, k]).pvalue > 1e-3
    top, left, height, width = ours.T
    assert (top >= 0).all() and (top + height <= size[1]).all()
    assert (left >= 0).all() and (left + width <= size[0]).all()


@pytest.mark.parametrize('size', [(10, 200), (200, 10), (30, 40)])
def test_crop_that_never_fits_is_central(size):
    crop = SeededRandomResizedCrop(24, (1.0, 1.0), (0.9, 0.9))
    expected = T.RandomResizedCrop.get_params(Image.new('RGB', size), [1.0, 1.0], [0.9, 0.9])
    assert crop.draw(*size, rng()) == expected


def test_jitter_factors_are_uniform_and_as_frequent_as_asked(image, monkeypatch):
    factors = {name: [] for name in ('brightness', 'contrast', 'saturation', 'hue')}
    for name, values in factors.items():
        monkeypatch.setattr(
            seeded_color.F,
            f'adjust_{name}',
            lambda image, factor, values=values: values.append(factor) or image,
        )
    jitter, generator = SeededColorJitter(0.4, 0.4, 1.5, 0.1, prob=0.8), rng()
    for _ in range(4000):
        jitter.apply(image, generator)
    bounds = dict(brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0, 2.5), hue=(-0.1, 0.1))
    for name, (low, high) in bounds.items():
        assert 0.78 < len(factors[name]) / 4000 < 0.82
        assert kstest(factors[name], 'uniform', (low, high - low)).pvalue > 1e-3


def test_neutral_factors_change_nothing(image):
    assert SeededColorJitter().apply(image, rng()) is image


def test_blur_radius_is_uniform(image, monkeypatch):
    radii = []
    monkeypatch.setattr(
        seeded_color.ImageFilter,
        'GaussianBlur',
        lambda radius: radii.append(radius) or ImageFilter.ModeFilter(1),
    )
    blur, generator = SeededGaussianBlur((0.1, 2.0), 0.5), rng()
    small = image.resize((4, 4))
    for _ in range(4000):
        blur.apply(small, generator)
    assert 0.47 < len(radii) / 4000 < 0.53
    assert kstest(radii, 'uniform', (0.1, 1.9)).pvalue > 1e-3


@pytest.mark.parametrize('make', [SeededFlip, SeededGrayscale, lambda p: SeededSolarize(128, p)])
def test_frequencies(image, make):
    small, generator, transform = image.resize((6, 6)), rng(), make(0.2)
    changed = sum(transform.apply(small, generator) is not small for _ in range(4000))
    assert 0.17 < changed / 4000 < 0.23
    assert make(0.0).apply(small, generator) is small


@pytest.mark.parametrize('transform', ALL, ids=lambda t: type(t).__name__)
def test_in_a_plain_pipeline(image, transform):
    array = pil_to_array(image)
    results = dict(img=array, sample_idx=EpochIndex(3, 1, 2), gt_label=4)
    copy, states = (
        array.copy(),
        (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),
    )
    output = transform(results)
    same(array, copy)
    assert set(results) == {'img', 'sample_idx', 'gt_label'}
    assert states == (
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.get_rng_state().tolist(),
    )
    assert output['img'].dtype == np.uint8 and output['img'].flags.c_contiguous
    assert output['img_shape'] == output['img'].shape[:2]
    same(output['img'], transform(results)['img'])
    # A PIL image goes in and out as it is, and is the same image.
    same(array_to_pil(output['img']), transform({**results, 'img': image})['img'])


def test_successive_transforms_share_one_generator(image):
    results = dict(img=pil_to_array(image), sample_idx=5)
    first = SeededRandomResizedCrop(20)(results)
    same(
        SeededRandomResizedCrop(20)({**results, 'img': first['img']})['img'],
        SeededRandomResizedCrop(20)({**results, 'img': first['img']})['img'],
    )
    one = SeededRandomResizedCrop(36, (0.3, 0.5))(results)
    two = SeededRandomResizedCrop(36, (0.3, 0.5))(one)
    fresh = SeededRandomResizedCrop(36, (0.3, 0.5))({**results, 'img': one['img']})
    assert (two['img'] != fresh['img']).any()


def test_channels_are_bgr(image):
    array = pil_to_array(image)
    same(array[..., ::-1], image)
    same(array_to_pil(array), image)
    grey = SeededGrayscale(1.0)(dict(img=array))['img']
    same(grey[..., 0], image.convert('L'))


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(type='SeededRandomResizedCrop', scale=0), 'scale'),
        (dict(type='SeededRandomResizedCrop', scale=(3, 4, 5)), 'scale'),
        (
            dict(type='SeededRandomResizedCrop', scale=8, crop_ratio_range=(0.5, 1.5)),
            r'crop_ratio_range must be \(min, max\) within \[0, 1\]',
        ),
        (dict(type='SeededRandomResizedCrop', scale=8, crop_ratio_range=(0.5, 0.2)), 'crop_ratio'),
        (
            dict(type='SeededRandomResizedCrop', scale=8, aspect_ratio_range=(0, 1)),
            'must not be zero',
        ),
        (dict(type='SeededRandomResizedCrop', scale=8, interpolation='area'), 'interpolation'),
        (dict(type='SeededFlip', prob=1.2), r'prob must lie in \[0, 1\], got 1.2'),
        (dict(type='SeededFlip', prob='x'), r"prob must lie in \[0, 1\], got 'x'"),
        (dict(type='SeededRandomResizedCrop', scale=0.5), 'scale must be a positive integer'),
        (dict(type='SeededRandomResizedCrop', scale=True), 'scale must be a positive integer'),
        (
            dict(type='SeededRandomResizedCrop', scale=8, crop_ratio_range=('x', 1)),
            r'crop_ratio_range must be \(min, max\)',
        ),
        (dict(type='SeededColorJitter', contrast=None), 'contrast must be'),
        (dict(type='SeededFlip', direction='diagonal'), 'direction'),
        (dict(type='SeededColorJitter', brightness=-0.1), 'brightness must not be negative'),
        (dict(type='SeededColorJitter', hue=0.6), 'hue must be'),
        (dict(type='SeededColorJitter', contrast=(2, 1)), 'contrast must be'),
        (dict(type='SeededGrayscale', prob=-1), 'prob'),
        (dict(type='SeededGaussianBlur', radius_range=(-1, 1)), 'radius_range'),
        (dict(type='SeededSolarize', thr=300), 'thr'),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TRANSFORMS.build(kwargs)


def test_unknown_argument():
    with pytest.raises(TypeError, match='probability'):
        TRANSFORMS.build(dict(type='SeededFlip', probability=0.5))


def test_other_image_types_are_refused(image):
    with pytest.raises(TypeError, match=r'uint8 .* got float32 of shape \(4, 4, 3\)'):
        SeededFlip()(dict(img=np.zeros((4, 4, 3), np.float32)))
    with pytest.raises(TypeError, match='got list'):
        SeededFlip()(dict(img=[image]))


def test_repr_shows_the_parameters():
    assert repr(SeededFlip(0.3)) == 'SeededFlip(prob=0.3, direction=horizontal)'
    assert 'interpolation=bilinear' in repr(SeededRandomResizedCrop(20))

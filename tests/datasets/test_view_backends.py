"""Backends of SeededMultiView: one drawing, one distribution, one setting."""

import copy
import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from mmengine import Config
from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.datasets import PackInputs
from mmpretrain.registry import MODELS, TRANSFORMS
from PIL import Image, ImageFilter
from scipy.stats import ks_2samp

from mmssl_prior.datasets import (
    EncodedImage,
    EpochIndex,
    INaturalist2018,
    LoadImage,
    SeededColorJitter,
    SeededFlip,
    SeededGaussianBlur,
    SeededGrayscale,
    SeededMultiView,
    SeededRandomResizedCrop,
    SeededSolarize,
    SeededTransform,
    UndecodableImage,
    ViewSource,
)
from mmssl_prior.datasets.transforms.pixels import array_to_pil, pil_to_array
from mmssl_prior.datasets.transforms.seeded_transform import DrawnTransform
from mmssl_prior.engine import SeededViewsHook
from mmssl_prior.errors import UserError
from mmssl_prior.functional import shift_hue
from mmssl_prior.models import MultiViewDataPreprocessor
from mmssl_prior.visualization import browse
from tests.miniatures import make_inaturalist2018
from tests.smoke import ROOT, smoke_config

COLOR = [
    dict(type='SeededFlip'),
    dict(type='SeededColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, prob=0.8),
    dict(type='SeededGrayscale', prob=0.2),
    dict(type='SeededGaussianBlur', prob=0.5),
    dict(type='SeededSolarize', prob=0.2),
]
LARGE = [dict(type='SeededRandomResizedCrop', scale=48, crop_ratio_range=(0.3, 1.0)), *COLOR]
FOCAL = [dict(type='SeededRandomResizedCrop', scale=24, crop_ratio_range=(0.05, 0.3)), *COLOR]
VIEWS = dict(transforms=[LARGE, FOCAL], num_views=[2, 3])
OTHERS = ('opencv', 'device')


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def picture(width, height, seed=0):
    """Smooth colours and fine texture, RGB."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (8, 9, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
    texture = rng.normal(0, 12, (height, width, 1))
    return np.clip(smooth + texture, 0, 255).astype(np.uint8)


@pytest.fixture(scope='module')
def array():
    return np.ascontiguousarray(picture(160, 120)[..., ::-1])


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A plain JPEG file, and others that are no case for the quick decoder."""
    folder, images = tmp_path_factory.mktemp('images'), {}
    exif = Image.Exif()
    exif[274] = 6
    for name, kwargs in dict(
        plain=dict(), large=dict(), turned=dict(exif=exif), progressive=dict(progressive=True)
    ).items():
        size = (1200, 900) if name == 'large' else (160, 120)
        images[name] = folder / f'{name}.jpg'
        Image.fromarray(picture(*size)).save(images[name], quality=92, **kwargs)
    grey, images['grey'] = Image.fromarray(picture(160, 120)).convert('L'), folder / 'grey.jpg'
    grey.save(images['grey'])
    images['cmyk'] = folder / 'cmyk.jpg'
    Image.fromarray(picture(160, 120)).convert('CMYK').save(images['cmyk'])
    images['alpha'] = folder / 'alpha.png'
    Image.fromarray(picture(160, 120)).convert('RGBA').save(images['alpha'])
    return images


def preprocessor(**kwargs):
    return MultiViewDataPreprocessor(**{**dict(to_rgb=True, mean=[0] * 3, std=[1] * 3), **kwargs})


def views(backend, image, index=0, views=VIEWS):
    """Views as float RGB of shape (3, h, w)."""
    transform = SeededMultiView(**copy.deepcopy(views), backend=backend)
    results = transform(dict(img=image, sample_idx=EpochIndex(index, 1, 2)))
    batch = default_collate([PackInputs()(results)])
    return [view[0] for view in preprocessor()(batch, True)['inputs']]


def off(one, two):
    """Mean distance in grey levels, and mean difference."""
    difference = one.double() - two.double()
    return difference.abs().mean().item(), difference.mean().item()


def rgb_tensor(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


# One operation at a time, on parameters that are given: (transform, parameters, torchvision's,
# the mean distance that is allowed in grey levels).
CROP = (11, 7, 90, 120)
MODES = {mode.value: mode for mode in TF.InterpolationMode}
OPERATIONS = {
    'crop': (
        SeededRandomResizedCrop((45, 60)),
        CROP,
        lambda x: TF.resized_crop(x, *CROP, (45, 60), antialias=True),
        0.2,
    ),
    'enlarging crop': (
        SeededRandomResizedCrop(160),
        CROP,
        lambda x: TF.resized_crop(x, *CROP, (160, 160), antialias=True),
        0.2,
    ),
    **{
        f'{mode} crop': (
            SeededRandomResizedCrop(40, interpolation=mode),
            CROP,
            lambda x, mode=mode: TF.resized_crop(x, *CROP, (40, 40), MODES[mode]),
            0.2,
        )
        for mode in ('bicubic', 'box', 'hamming', 'lanczos')
    },
    'flip': (SeededFlip(), True, TF.hflip, 0),
    'vertical flip': (SeededFlip(direction='vertical'), True, TF.vflip, 0),
    'darker': (SeededColorJitter(0.4), ((0, 0.6),), lambda x: TF.adjust_brightness(x, 0.6), 0.1),
    'brighter': (SeededColorJitter(0.8), ((0, 1.7),), lambda x: TF.adjust_brightness(x, 1.7), 0.1),
    'flatter': (SeededColorJitter(0, 0.4), ((1, 0.6),), lambda x: TF.adjust_contrast(x, 0.6), 0.1),
    'contrast': (SeededColorJitter(0, 0.8), ((1, 1.7),), lambda x: TF.adjust_contrast(x, 1.7), 0.1),
    'paler': (
        SeededColorJitter(0, 0, 0.9), ((2, 0.3),), lambda x: TF.adjust_saturation(x, 0.3), 0.3
    ),
    'colour': (
        SeededColorJitter(0, 0, 0.8), ((2, 1.7),), lambda x: TF.adjust_saturation(x, 1.7), 0.3
    ),
    'hue': (SeededColorJitter(hue=0.2), ((3, 0.15),), lambda x: TF.adjust_hue(x, 0.15), 1.2),
    'hue back': (SeededColorJitter(hue=0.2), ((3, -0.1),), lambda x: TF.adjust_hue(x, -0.1), 1.2),
    'grayscale': (SeededGrayscale(), True, lambda x: TF.rgb_to_grayscale(x, 3), 0.1),
    'solarize': (SeededSolarize(100), 100, lambda x: TF.solarize(x, 100), 0),
    'little blur': (
        SeededGaussianBlur(), 0.4, lambda x: x.filter(ImageFilter.GaussianBlur(0.4)), 0.9
    ),
    'blur': (SeededGaussianBlur(), 1.9, lambda x: x.filter(ImageFilter.GaussianBlur(1.9)), 0.5),
}  # fmt: skip


class Fixed(DrawnTransform):
    """A transform whose drawing is known."""

    def __init__(self, inner, drawn):
        self.inner, self.drawn = inner, drawn

    def draw(self, width, height, rng):
        return self.drawn

    def render(self, image, drawn):
        return self.inner.render(image, drawn)

    def render_array(self, image, drawn):
        return self.inner.render_array(image, drawn)

    def step(self):
        return self.inner.step()

    def columns(self, drawn):
        return self.inner.columns(drawn)


class FixedCrop(SeededRandomResizedCrop):
    def draw(self, width, height, rng):
        return CROP if self.whole is None else (0, 0, height, width)


@pytest.mark.parametrize('name', OPERATIONS)
@pytest.mark.parametrize('backend', OTHERS)
def test_an_operation_is_that_of_torchvision(array, name, backend):
    transform, drawn, theirs, allowed = OPERATIONS[name]
    image = array_to_pil(array)
    expected = rgb_tensor(theirs(image))
    if isinstance(transform, SeededRandomResizedCrop):
        crop = FixedCrop(transform.scale, interpolation=transform.interpolation)
        crop.whole, steps = None, [crop]
    else:
        crop = FixedCrop(array.shape[:2])  # all of the image, as it is
        crop.whole, steps = True, [crop, Fixed(transform, drawn)]
    made = views(backend, array, views=dict(transforms=[steps], num_views=1))[0]
    assert made.shape == expected.shape
    distance, bias = off(made, expected)
    assert distance <= allowed and abs(bias) <= min(allowed, 0.25)
    assert torch.equal(made, made.round()) and made.min() >= 0 and made.max() <= 255


def test_hue_on_the_device_is_not_held_back_by_eight_bits(array):
    pixels = rgb_tensor(array_to_pil(array))[None]
    for shift in (-0.1, 0.03, 0.2):
        expected = 255 * TF.adjust_hue(pixels / 255, shift)
        made = shift_hue(pixels.float(), torch.tensor([shift]))
        torch.testing.assert_close(made, expected, rtol=0, atol=0.51)


@pytest.mark.parametrize('order', [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2), (2, 0, 3, 1)])
def test_jitter_on_the_device_keeps_the_order(array, order):
    jitter = SeededColorJitter(0.8, 0.8, 0.8, 0.2)
    drawn = tuple((k, (1.6, 0.5, 1.7, 0.15)[k]) for k in order)
    crop = FixedCrop(array.shape[:2])
    crop.whole = True
    pipeline = dict(transforms=[[crop, Fixed(jitter, drawn)]], num_views=1)
    made = {b: views(b, array, views=pipeline)[0] for b in ('pillow', *OTHERS)}
    assert off(made['device'], made['pillow'])[0] < 1.5
    assert off(made['opencv'], made['pillow'])[0] < 1.5
    other = Fixed(jitter, tuple(reversed(drawn)))
    reverse = views('device', array, views=dict(transforms=[[crop, other]], num_views=1))[0]
    assert off(reverse, made['pillow'])[0] > 3


class Recorded(SeededMultiView):
    """Notes what is drawn, in order."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.drawn = []
        for steps in self.pipelines:
            for step in steps:
                step.draw = self._noting(step.draw)

    def _noting(self, draw):
        def noted(*args):
            self.drawn.append(draw(*args))
            return self.drawn[-1]

        return noted


def test_every_backend_draws_the_same(array):
    drawn = {}
    for backend in ('pillow', *OTHERS):
        transform = Recorded(**copy.deepcopy(VIEWS), backend=backend)
        for index in range(40):
            transform(dict(img=array, sample_idx=EpochIndex(index, 5, 6)))
        # The crops are drawn before all others, so only the order of drawing differs.
        drawn[backend] = sorted(map(repr, transform.drawn))
        assert len(drawn[backend]) == 40 * 5 * 6
    assert drawn['pillow'] == drawn['opencv'] == drawn['device']


@pytest.mark.parametrize('backend', OTHERS)
def test_views_are_those_of_the_reference(backend):
    """With the same drawing, and so the statistics of the pixels over many images."""
    mine, statistics = [], {True: [], False: []}
    for seed in range(30):
        image = np.ascontiguousarray(picture(150, 110, seed)[..., ::-1])
        ours, theirs = views(backend, image, seed), views('pillow', image, seed)
        for one, two in zip(ours, theirs, strict=True):
            distance, _ = off(one, two)
            # Where solarisation follows, a level may decide on which side of the threshold.
            mine.append(distance)
        for made, key in ((ours, True), (theirs, False)):
            for view in made:
                gradient = (view[:, 1:] - view[:, :-1]).square().mean()
                statistics[key].append([view.mean(), view.std(), gradient])
    assert np.median(mine) < 0.8 and np.quantile(mine, 0.95) < 3
    ours, theirs = np.array(statistics[True]), np.array(statistics[False])
    for column, allowed in ((0, 0.3), (1, 0.3)):
        assert abs((ours - theirs)[:, column].mean()) < allowed  # grey levels
    assert 0.95 < np.median(ours[:, 2] / theirs[:, 2]) < 1.05
    for column in range(3):
        assert ks_2samp(ours[:, column], theirs[:, column]).pvalue > 0.5


def test_a_batch_on_the_device_is_its_images_one_by_one(array):
    """Images of different sizes, chunks that do not divide the batch, any padding."""
    images = [array, array[:70, :101], array[20:110], array[:, 30:]]
    transform = SeededMultiView(**copy.deepcopy(VIEWS), backend='device')
    packed = [
        PackInputs()(transform(dict(img=np.ascontiguousarray(image), sample_idx=k)))
        for k, image in enumerate(images)
    ]
    norm = dict(mean=[120.0, 110.0, 100.0], std=[60.0, 50.0, 40.0])
    batch = default_collate(packed)
    assert batch['inputs']['images'].shape == (4, 120, 160, 3)
    batch['inputs']['images'][1, 70:] = 255
    whole = preprocessor(chunk_size=3, **norm)(batch, True)
    assert [view.shape for view in whole['inputs']] == [(4, 3, 48, 48)] * 2 + [(4, 3, 24, 24)] * 3
    assert [sample.sample_idx for sample in whole['data_samples']] == [0, 1, 2, 3]
    for k, sample in enumerate(packed):
        single = preprocessor(**norm)(default_collate([sample]), True)['inputs']
        plain = preprocessor()(default_collate([sample]), True)['inputs']
        for view, alone, raw in zip(whole['inputs'], single, plain):
            torch.testing.assert_close(view[k], alone[0], rtol=0, atol=1.01 / 40)
            assert (view[k] != alone[0]).float().mean() < 0.01  # rounding of a sum in another order
            mean, std = (torch.tensor(norm[key]).view(3, 1, 1) for key in ('mean', 'std'))
            torch.testing.assert_close(alone[0], (raw[0] - mean) / std)
    # Views of one size are one block of memory.
    first, second = whole['inputs'][:2]
    assert second.data_ptr() - first.data_ptr() == first.numel() * first.element_size()


def test_number_of_calls_does_not_depend_on_the_batch(array):
    transform = SeededMultiView(**copy.deepcopy(VIEWS), backend='device')
    sample = PackInputs()(transform(dict(img=array, sample_idx=0)))
    counts = []
    for size in (2, 5):
        batch = default_collate([sample] * size)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            preprocessor()(batch, True)
        counts.append(sum(e.count for e in profile.key_averages() if e.key.startswith('aten::')))
    assert counts[0] == counts[1]


def test_device_needs_no_grad_and_ignores_autocast(array):
    transform = SeededMultiView(**copy.deepcopy(VIEWS), backend='device')
    batch = default_collate([PackInputs()(transform(dict(img=array, sample_idx=0)))])
    expected = preprocessor()(batch, True)['inputs']
    with torch.autocast('cpu', torch.bfloat16):
        made = preprocessor()(batch, True)['inputs']
    for one, two in zip(made, expected):
        assert torch.equal(one, two) and not one.requires_grad and one.dtype == torch.float32


def test_equal_recipes_are_one(array):
    pipeline = [LARGE, copy.deepcopy(LARGE), FOCAL]
    transform = SeededMultiView(pipeline, [1, 2, 1], backend='device')
    assert [(recipe.views, recipe.size) for recipe in transform.recipes] == [
        (3, (48, 48)),
        (1, (24, 24)),
    ]
    made = views('device', array, views=dict(transforms=pipeline, num_views=[1, 2, 1]))
    theirs = views('pillow', array, views=dict(transforms=pipeline, num_views=[1, 2, 1]))
    assert all(off(one, two)[0] < 3 for one, two in zip(made, theirs, strict=True))


def test_preprocessor_is_the_stock_one_elsewhere():
    stock = MODELS.build(
        dict(type='SelfSupDataPreprocessor', mean=[1, 2, 3], std=[4, 5, 6], to_rgb=True)
    )
    ours = preprocessor(mean=[1, 2, 3], std=[4, 5, 6])
    images = torch.randint(0, 256, (2, 3, 5, 4), dtype=torch.uint8)
    for inputs in (images, [images, images[..., :2]]):
        one, two = (p(dict(inputs=inputs, data_samples=None))['inputs'] for p in (ours, stock))
        torch.testing.assert_close(one, two, rtol=0, atol=0)


@pytest.mark.parametrize('backend', ['pillow', *OTHERS])
@pytest.mark.parametrize('name', ['plain', 'turned', 'progressive', 'grey', 'cmyk', 'alpha'])
def test_deferred_files_are_the_loaded_ones(files, name, backend):
    """Orientation, modes and formats; a plain file is decoded to the same pixels by either."""
    loaded = LoadImage()(dict(img_path=str(files[name])))
    deferred = LoadImage(defer=True)(dict(img_path=str(files[name])))
    assert isinstance(deferred['img'], EncodedImage)
    assert deferred['img'].is_plain == (name in ('plain', 'progressive'))
    assert deferred['img_shape'] == loaded['img_shape'] == deferred['ori_shape']
    np.testing.assert_array_equal(np.asarray(deferred['img']), loaded['img'])
    exact = backend == 'pillow'
    for one, two in zip(views(backend, deferred['img']), views(backend, loaded['img'])):
        assert off(one, two)[0] <= (0 if exact else 0.3)


@pytest.mark.parametrize('backend', OTHERS)
def test_large_files_are_decoded_at_a_fraction(files, backend):
    encoded = EncodedImage(str(files['large']))
    assert encoded.pixels(2).shape == (450, 600, 3)
    assert encoded.pixels(8).shape == (113, 150, 3)
    ours, theirs, whole = (
        [view for k in range(6) for view in views(b, source, k)]
        for b, source in ((backend, encoded), ('pillow', encoded), (backend, encoded.decode()))
    )
    for reduced in (ours, whole):
        energy = [
            ((a[:, 1:] - a[:, :-1]).square().mean() / (b[:, 1:] - b[:, :-1]).square().mean()).item()
            for a, b in zip(reduced, theirs)
        ]
        assert 0.9 < np.median(energy) < 1.1
        assert np.median([off(a, b)[0] for a, b in zip(reduced, theirs)]) < 2
        assert abs(np.mean([off(a, b)[1] for a, b in zip(reduced, theirs)])) < 0.5


def test_fraction_leaves_each_crop_enough(files):
    source = SeededMultiView([LARGE], 1, backend='device')
    encoded = EncodedImage(str(files['large']))
    for index in range(20):
        made = source(dict(img=encoded, sample_idx=index))['img']
        height, width = made.parameters[0][0, 2:4].tolist()
        assert min(height, width) >= 1.5 * 48 * 0.99
        assert made.shape[0] < 900


@pytest.mark.parametrize('backend', ['pillow', *OTHERS])
def test_undecodable_files_fail_as_ever(files, tmp_path, backend):
    content = files['plain'].read_bytes()
    broken = dict(cut=content[: len(content) // 2], empty=b'', text=b'Not found\n')
    transform = SeededMultiView(**copy.deepcopy(VIEWS), backend=backend)
    for name, data in {**broken, 'missing': None}.items():
        path = tmp_path / f'{name}.jpg'
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(UndecodableImage) as expected:
            LoadImage()(dict(img_path=str(path)))
        with pytest.raises(UndecodableImage) as found:
            transform(LoadImage(defer=True)(dict(img_path=str(path))))
        assert str(found.value) == str(expected.value)


@pytest.mark.parametrize('backend', OTHERS)
def test_undecodable_files_are_replaced(tmp_path, backend):
    root = make_inaturalist2018(tmp_path, counts={0: 3, 5: 3})
    steps = [
        dict(type='LoadImage', defer=True),
        dict(type='SeededMultiView', **copy.deepcopy(VIEWS), backend=backend),
        dict(type='PackInputs'),
    ]
    data = INaturalist2018(str(root), pipeline=steps)
    path = data.get_data_info(2)['img_path']
    with open(path, 'r+b') as file:
        file.truncate(300)
    sample = data[EpochIndex(2, 1, 0)]['data_samples']
    assert [name for name, _ in sample.undecodable] == [path] and sample.img_path != path


def test_opencv_takes_transforms_of_others(array):
    class Own(SeededTransform):
        def apply(self, image, rng):
            return image.rotate(90 * int(rng.integers(1, 4)))

    class OwnFlip(SeededFlip):
        def apply(self, image, rng):
            return image.rotate(180)

    mixed = [
        dict(type='RandomFlip', prob=0.5),
        dict(type='SeededRandomResizedCrop', scale=20),
        dict(type='RandomErasing', erase_prob=1.0),
        Own(),
        OwnFlip(),
    ]
    torchvision = [dict(type='torchvision/RandomResizedCrop', size=20), dict(type='SeededFlip')]
    there_and_back = [
        dict(type='NumpyToPIL', to_rgb=True),
        *torchvision,
        dict(type='PILToNumpy', to_bgr=True),
    ]
    pipeline = dict(transforms=[mixed, [], there_and_back], num_views=[2, 1, 1])
    for index in range(4):
        before = array.copy()
        ours, theirs = (views(b, array, index, pipeline) for b in ('opencv', 'pillow'))
        np.testing.assert_array_equal(array, before)
        assert all(off(one, two)[0] < 0.3 for one, two in zip(ours, theirs))
    of_pictures = SeededMultiView([torchvision], 1, backend='opencv')
    made = of_pictures(dict(img=array_to_pil(array), sample_idx=0))['img'][0]
    expected = SeededMultiView([torchvision], 1)(dict(img=array_to_pil(array), sample_idx=0))
    np.testing.assert_array_equal(made, expected['img'][0])


def test_opencv_hands_back_what_it_was_given(array):
    transform = SeededMultiView(**copy.deepcopy(VIEWS), backend='opencv')
    arrays = transform(dict(img=array, sample_idx=1))['img']
    pictures = transform(dict(img=array_to_pil(array), sample_idx=1))['img']
    assert all(isinstance(view, Image.Image) for view in pictures)
    for one, two in zip(arrays, pictures):
        np.testing.assert_array_equal(one, pil_to_array(two))
    # PackInputs makes a tensor without copying.
    packed = PackInputs.format_input(arrays[0])
    assert packed.data_ptr() == arrays[0].__array_interface__['data'][0]


@pytest.mark.parametrize('backend', OTHERS)
def test_workers_and_order_change_nothing(backend):
    def loader(**kwargs):
        dataset = dict(
            type='DigitsLT',
            split='test',
            images_per_class=1,
            image_size=40,
            pipeline=[
                dict(type='SeededMultiView', **copy.deepcopy(VIEWS), backend=backend),
                dict(type='PackInputs'),
            ],
        )
        config = dict(
            dataset=dataset,
            sampler=dict(type='EpochSampler', shuffle=False),
            batch_size=5,
            num_workers=0,
            collate_fn=dict(type='default_collate'),
        )
        return Runner.build_dataloader({**config, **kwargs}, seed=3)

    def epoch(loader, number):
        loader.sampler.set_epoch(number)
        batches = [preprocessor()(batch, True)['inputs'] for batch in loader]
        return [torch.cat(view) for view in zip(*batches)]

    alone, workers = loader(), loader(num_workers=2, persistent_workers=True)
    for number in range(2):
        for one, two in zip(epoch(alone, number), epoch(workers, number)):
            assert torch.equal(one, two)
    assert not torch.equal(epoch(alone, 0)[0], epoch(alone, 1)[0])


def test_source_can_be_looked_at(array):
    source = SeededMultiView(**copy.deepcopy(VIEWS), backend='device')(dict(img=array))['img']
    assert isinstance(source, ViewSource)
    for shown, made in zip(source.render(), views('device', array, 0), strict=True):
        assert shown.dtype == np.uint8 and shown.shape == (*made.shape[1:], 3)
    again = SeededMultiView(**copy.deepcopy(VIEWS), backend='device')
    expected = preprocessor()(default_collate([PackInputs()(again(dict(img=array)))]), True)[
        'inputs'
    ]
    for shown, made in zip(source.render(), expected):
        np.testing.assert_array_equal(shown[..., ::-1], made[0].permute(1, 2, 0).numpy())


@pytest.mark.parametrize(
    ('steps', 'message'),
    [
        ([], "begin with SeededRandomResizedCrop, got NoneType.*backend='opencv'"),
        ([dict(type='SeededFlip')], 'got SeededFlip'),
        ([LARGE[0], dict(type='RandomErasing')], "not of RandomErasing: use backend='opencv'"),
        ([LARGE[0], LARGE[0]], 'not of SeededRandomResizedCrop'),
        (
            [dict(type='SeededRandomResizedCrop', scale=8, interpolation='nearest')],
            "not by 'nearest'.*backend='pillow'",
        ),
    ],
)
def test_what_the_device_cannot_make(steps, message):
    with pytest.raises(UserError, match=message):
        SeededMultiView([steps], 1, backend='device')


def test_bad_arguments(array):
    with pytest.raises(UserError, match=r"backend must be one of \['pillow', .* got 'cuda'"):
        SeededMultiView([LARGE], 1, backend='cuda')
    with pytest.raises(TypeError, match=r'uint8 .* got float64 of shape'):
        SeededMultiView([LARGE], 1, backend='opencv')(dict(img=array / 255))
    with pytest.raises(UserError, match="resample_dtype must be one of .* got 'float8'"):
        preprocessor(resample_dtype='float8')
    with pytest.raises(UserError, match='chunk_size must be a positive integer, got 0'):
        preprocessor(chunk_size=0)
    source = SeededMultiView([LARGE], 1, backend='device')(dict(img=array))
    with pytest.raises(UserError, match='set to_rgb=True'):
        preprocessor(to_rgb=False)(default_collate([PackInputs()(source)]))


def test_encoded_image_without_an_end_is_no_case_for_the_quick_decoder(files, tmp_path):
    data = files['plain'].read_bytes()
    path = tmp_path / 'a.jpg'
    path.write_bytes(data + b'\0' * 100)
    assert EncodedImage(str(path)).is_plain
    path.write_bytes(data[:-2])
    assert not EncodedImage(str(path)).is_plain
    assert Image.open(io.BytesIO(data)).size == (160, 120)


def set_backend(cfg, backend):
    step = next(s for s in cfg.train_dataloader.dataset.pipeline if s.type == 'SeededMultiView')
    step.backend = backend


@pytest.mark.parametrize('method', ['simclr', 'vicreg', 'swav'])
def test_views_of_every_method(method):
    """Those of the full-size configs, on an image that is enough for them."""
    steps = Config.fromfile(ROOT / f'configs/_base_/views/{method}.py').pretrain_pipeline
    pipeline = dict(transforms=steps[1].transforms, num_views=[1] * len(steps[1].transforms))
    image = np.ascontiguousarray(picture(400, 300)[..., ::-1])
    expected = views('pillow', image, views=pipeline)
    for backend in OTHERS:
        for one, two in zip(views(backend, image, views=pipeline), expected, strict=True):
            assert off(one, two)[0] < 1.5


@pytest.mark.parametrize('method', ['pmsn', 'swav'])
def test_training_on_views_of_the_device(method, tmp_path):
    cfg = smoke_config(f'configs/{method}/{method}_vit-mini_patterns-lt.py', tmp_path, {})
    set_backend(cfg, 'device')
    if method == 'pmsn':
        # It measures a step with the loader's collate function and the model's preprocessor.
        cfg.default_hooks.data_summary = dict(type='DataSummaryHook')
    losses = []

    class Watch(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            losses.append(float(outputs['loss']))

    runner = Runner.from_cfg(cfg)
    runner.register_hook(Watch())
    runner.train()
    assert losses and np.isfinite(losses).all()


def test_a_model_that_makes_no_views_is_refused():
    cfg = Config.fromfile(ROOT / 'configs/pmsn/pmsn_vit-mini_patterns-lt.py')
    set_backend(cfg, 'device')
    loop = SimpleNamespace(dataloader=Runner.build_dataloader(cfg.train_dataloader, seed=0))
    stock = MODELS.build(dict(type='SelfSupDataPreprocessor'))
    hook = SeededViewsHook()
    for made, able in ((preprocessor(), True), (stock, False), (None, False)):
        runner = SimpleNamespace(train_loop=loop, model=SimpleNamespace(data_preprocessor=made))
        if able:
            hook.before_train(runner)
            continue
        with pytest.raises(UserError, match=r"makes no views: set type='MultiViewDataPrep"):
            hook.before_train(runner)


def test_browsing_shows_the_views_of_the_device():
    cfg = Config.fromfile(ROOT / 'configs/pmsn/pmsn_vit-mini_patterns-lt.py').train_dataloader
    shown = {}
    for backend in ('pillow', 'device'):
        set_backend(Config(dict(train_dataloader=cfg)), backend)
        shown[backend] = list(browse(cfg, 2, seed=1))
    for one, two in zip(shown['pillow'], shown['device'], strict=True):
        np.testing.assert_array_equal(one.original, two.original)
        for view, other in zip(one.views, two.views, strict=True):
            assert off(torch.from_numpy(view), torch.from_numpy(other))[0] < 4


@pytest.mark.parametrize(
    'path', ['pmsn/pmsn_vit-b16_inat18', 'simclr/simclr_r50_in1k', 'swav/swav_r50_in1k']
)
def test_one_setting_in_the_environment(path, monkeypatch):
    for backend in (None, 'pillow', 'device'):
        monkeypatch.setenv('VIEW_BACKEND', backend) if backend else None
        cfg = Config.fromfile(ROOT / f'configs/{path}.py')
        load, multi_view, pack = cfg.train_dataloader.dataset.pipeline
        assert (load.type, pack.type) == ('LoadImage', 'PackInputs') and load.defer
        assert multi_view.backend == (backend or 'opencv')
        assert TRANSFORMS.build(multi_view).backend == multi_view.backend
        assert cfg.model.data_preprocessor.type == 'MultiViewDataPreprocessor'

import errno
import os
import pickle

import numpy as np
import pytest
from mmpretrain.datasets import LoadImageFromFile, PackInputs
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from mmssl_prior.datasets import LoadImage, UndecodableImage
from mmssl_prior.datasets.transforms.load_image import to_rgb
from mmssl_prior.errors import UserError

ORIENTATION = 274


@pytest.fixture
def image():
    """Twelve by eight pixels, no two corners alike."""
    values = np.zeros((8, 12, 3), np.uint8)
    values[:4, :6], values[:4, 6:], values[4:, :6] = (250, 10, 10), (10, 250, 10), (10, 10, 250)
    return Image.fromarray(values)


def load(path):
    return LoadImage()(dict(img_path=str(path), sample_idx=1))


def rgb(path):
    return load(path)['img'][..., ::-1]


def test_array_as_from_mmcv(image, tmp_path):
    image.save(tmp_path / 'a.png')
    ours = TRANSFORMS.build(dict(type='LoadImage'))(dict(img_path=str(tmp_path / 'a.png')))
    theirs = LoadImageFromFile()(dict(img_path=str(tmp_path / 'a.png')))
    np.testing.assert_array_equal(ours['img'], theirs['img'])
    assert ours['img'].dtype == np.uint8 and ours['img'].flags.c_contiguous
    assert ours['img_shape'] == theirs['img_shape'] == (8, 12)
    assert ours['ori_shape'] == theirs['ori_shape'] == (8, 12)
    assert PackInputs()(ours)['inputs'].shape == (3, 8, 12)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation(image, tmp_path, orientation):
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    stored = image if undo is None else image.transpose(undo)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored.save(tmp_path / 'a.png', exif=exif)
    np.testing.assert_array_equal(rgb(tmp_path / 'a.png'), np.asarray(image))
    stored.save(tmp_path / 'a.jpg', exif=exif, quality=100, subsampling=0)
    difference = rgb(tmp_path / 'a.jpg').astype(int) - np.asarray(image)
    assert abs(difference).max() < 20


def test_malformed_exif_is_no_reason_to_lose_the_image(image, tmp_path):
    image.save(tmp_path / 'a.jpg', exif=b'Exif\0\0MM\0*\0\0\0\xff\xff\xff\xff')
    assert load(tmp_path / 'a.jpg')['img'].shape == (8, 12, 3)


def test_palette(image, tmp_path):
    image.quantize(4).save(tmp_path / 'a.png')
    np.testing.assert_array_equal(rgb(tmp_path / 'a.png'), np.asarray(image))
    image.quantize(4).save(tmp_path / 'a.gif')
    np.testing.assert_array_equal(rgb(tmp_path / 'a.gif'), np.asarray(image))


@pytest.mark.parametrize('mode', ['1', 'L', 'LA', 'P', 'RGBA', 'CMYK', 'YCbCr', 'I', 'I;16'])
def test_black_and_white_in_every_mode(mode, tmp_path):
    grey = Image.fromarray(np.repeat([[0, 255]], 2, 0).astype(np.uint8))
    if mode in ('I', 'I;16'):
        values = np.asarray(grey).astype(np.uint16) * 257
        image = Image.fromarray(values.astype(np.int32) if mode == 'I' else values)
    else:
        image = grey.convert('RGB').convert(mode)
    assert image.mode == mode
    image.save(tmp_path / 'a.tiff')
    np.testing.assert_array_equal(rgb(tmp_path / 'a.tiff')[0], [[0] * 3, [255] * 3])


def test_sixteen_bits_are_scaled(tmp_path):
    values = np.array([[0, 128, 129, 257, 32768, 65406, 65407, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / 'a.png')
    expected = [0, 0, 1, 1, 128, 254, 255, 255]
    assert rgb(tmp_path / 'a.png')[0].tolist() == [[v] * 3 for v in expected]


def test_cmyk_jpeg(image, tmp_path):
    image.convert('CMYK').save(tmp_path / 'a.jpg', quality=100, subsampling=0)
    difference = rgb(tmp_path / 'a.jpg').astype(int) - np.asarray(image)
    assert abs(difference).max() < 20


def test_transparency_is_laid_on_white(image, tmp_path):
    image.putalpha(Image.fromarray(np.tile(np.repeat([255, 0], 6), (8, 1)).astype(np.uint8)))
    expected = np.asarray(image.convert('RGB')).copy()
    expected[:, 6:] = 255
    image.save(tmp_path / 'a.png')
    np.testing.assert_array_equal(rgb(tmp_path / 'a.png'), expected)
    half = Image.new('RGBA', (1, 1), (0, 100, 200, 51))
    assert to_rgb(half).getpixel((0, 0)) == (204, 224, 244)
    assert to_rgb(Image.new('LA', (1, 1), (0, 0))).getpixel((0, 0)) == (255, 255, 255)


def test_transparent_colour(tmp_path):
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), 'L').convert('P')
    palette.putpalette([9, 8, 7, 1, 2, 3])
    palette.save(tmp_path / 'p.png', transparency=1)
    assert rgb(tmp_path / 'p.png')[0].tolist() == [[9, 8, 7], [255, 255, 255]]
    plain = Image.fromarray(np.array([[[9, 8, 7], [1, 2, 3]]], np.uint8))
    plain.save(tmp_path / 'rgb.png', transparency=(1, 2, 3))
    assert rgb(tmp_path / 'rgb.png')[0].tolist() == [[9, 8, 7], [255, 255, 255]]


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new('RGB', (4, 4), c) for c in ('red', 'blue')]
    frames[0].save(tmp_path / 'a.gif', save_all=True, append_images=frames[1:])
    assert (rgb(tmp_path / 'a.gif') == [255, 0, 0]).all()


@pytest.mark.parametrize('name', ['a.png', 'a.webp', 'a.tiff'])
def test_first_frame_of_other_animations(tmp_path, name):
    frames = [Image.new('RGB', (4, 4), c) for c in ('red', 'blue')]
    lossless = dict(lossless=True) if name.endswith('webp') else {}
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **lossless)
    assert Image.open(tmp_path / name).n_frames == 2
    assert (rgb(tmp_path / name) == [255, 0, 0]).all()


@pytest.mark.parametrize('mode', ['RGB', 'RGBA'])
def test_webp(image, tmp_path, mode):
    image.convert(mode).save(tmp_path / 'a.webp', lossless=True)
    np.testing.assert_array_equal(rgb(tmp_path / 'a.webp'), np.asarray(image))


def test_unicode_name(image, tmp_path):
    image.save(tmp_path / 'Käfer 甲虫.png')
    assert load(tmp_path / 'Käfer 甲虫.png')['img_shape'] == (8, 12)


def test_a_name_that_is_not_unicode(image, tmp_path):
    path = os.path.join(tmp_path, os.fsdecode(b'caf\xe9.png'))
    image.save(path)
    assert load(path)['img_shape'] == (8, 12)
    with open(path, 'r+b') as file:
        file.truncate(60)
    with pytest.raises(UndecodableImage) as caught:
        load(path)
    assert caught.value.path == path
    # Any stream and any log takes the message.
    assert 'caf\\xe9.png: ' in str(caught.value).encode().decode()


def test_permission_denied(image, tmp_path, monkeypatch):
    """Root may read anything, so the system's answer is simulated."""
    image.save(tmp_path / 'a.png')

    def denied(*args, **kwargs):
        raise PermissionError(errno.EACCES, 'Permission denied', str(tmp_path / 'a.png'))

    monkeypatch.setattr('PIL.Image.open', denied)
    with pytest.raises(UndecodableImage, match=r'a\.png: Permission denied$'):
        load(tmp_path / 'a.png')


def write(path, content):
    path.write_bytes(content)


def png(path, keep):
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, format=path.suffix[1:].replace('jpg', 'jpeg'))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


@pytest.mark.parametrize(
    ('name', 'make', 'reason'),
    [
        ('gone.jpg', lambda path: None, 'No such file'),
        ('empty.jpg', lambda path: write(path, b''), 'the file is empty'),
        ('text.jpg', lambda path: write(path, b'Hello, this is a page\n' * 9), 'not an image'),
        ('header.jpg', lambda path: png(path, 0.1), ''),
        ('half.jpg', lambda path: png(path, 0.5), 'truncated'),
        ('half.png', lambda path: png(path, 0.5), ''),
        ('almost.jpg', lambda path: png(path, 0.97), 'truncated'),
        ('folder.jpg', lambda path: path.mkdir(), 'Is a directory'),
        ('float.tiff', lambda path: Image.new('F', (2, 2)).save(path), 'no defined range'),
    ],
)
def test_undecodable(tmp_path, name, make, reason):
    path = tmp_path / name
    make(path)
    with pytest.raises(UndecodableImage, match='^cannot decode image .*' + reason) as caught:
        load(path)
    assert isinstance(caught.value, UserError)
    assert caught.value.path == str(path) and caught.value.reason
    assert '\n' not in str(caught.value) and str(caught.value).count(name) == 1


def test_a_bomb_is_not_decoded(image, tmp_path, monkeypatch):
    image.save(tmp_path / 'a.png')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)
    with pytest.raises(UndecodableImage, match='decompression bomb'):
        load(tmp_path / 'a.png')


def test_error_survives_the_way_out_of_a_worker():
    error = pickle.loads(pickle.dumps(UndecodableImage('a.jpg', 'empty')))
    assert (error.path, error.reason) == ('a.jpg', 'empty')
    assert str(error) == 'cannot decode image a.jpg: empty'
    assert str(UndecodableImage(f'Caught in worker: {error}')) == f'Caught in worker: {error}'


def test_running_out_of_memory_is_not_the_fault_of_the_file(image, tmp_path, monkeypatch):
    image.save(tmp_path / 'a.png')

    def fail(*args):
        raise MemoryError

    monkeypatch.setattr('mmssl_prior.datasets.transforms.decoding.to_rgb', fail)
    with pytest.raises(MemoryError):
        load(tmp_path / 'a.png')

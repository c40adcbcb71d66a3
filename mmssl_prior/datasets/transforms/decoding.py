"""Decoding of images, whatever their mode; failures under one name."""

import os
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ...errors import UserError, printable
from .pixels import pil_to_array

__all__ = ['UndecodableImage', 'decode', 'decoding', 'decoding_reason', 'to_rgb', 'upright']


class UndecodableImage(UserError):
    """A file that does not yield an image.

    Args:
        path (str): The file.
        reason (str): What the decoder said. Empty if ``path`` is the whole
            message already, as when torch rebuilds an exception that a data
            loading worker raised.
    """

    def __init__(self, path, reason=''):
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self):
        if not self.reason:
            return str(self.path)
        return f'cannot decode image {printable(self.path)}: {self.reason}'


def to_rgb(image):
    """8-bit RGB image from a PIL image of any mode.

    Transparent pixels are laid on white, 16-bit values are scaled to 8 bits
    (PIL would cut them off at 255), palettes are looked up, of an animation
    the first frame is taken.

    Args:
        image (PIL.Image.Image): The image.

    Returns:
        PIL.Image.Image: In mode RGB.

    Raises:
        ValueError: If the mode has no defined mapping to RGB, as for floating
            point values.

    >>> to_rgb(Image.new('I;16', (1, 1), 65535)).getpixel((0, 0))
    (255, 255, 255)
    """
    if image.mode == 'RGB' and 'transparency' not in image.info:
        return image
    if image.mode == 'F':
        raise UserError(
            'floating point values have no defined range; convert the file to 8 or 16 bits'
        )
    if image.mode == 'I' or image.mode.startswith('I;16'):
        # Some versions of PIL open 16-bit files in mode I.
        values = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.mode in ('LA', 'PA', 'RGBA') or 'transparency' in image.info:
        image = image.convert('RGBA')
        white = Image.new('RGBA', image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert('RGB')


def upright(image):
    """Turned as its EXIF data asks; as stored where these are malformed."""
    try:
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # PIL's parsers raise almost anything
        return image


def decoding_reason(error):
    """What went wrong, in one line that does not repeat the path."""
    if isinstance(error, UnidentifiedImageError):
        return 'not an image of a known format'
    text = getattr(error, 'strerror', None) or str(error)
    return ' '.join(text.split()) or type(error).__name__


@contextmanager
def decoding(path):
    """Whatever is raised inside becomes an :class:`UndecodableImage` of this file."""
    try:
        yield
    except (MemoryError, UndecodableImage):
        raise
    except Exception as error:  # PIL's decoders raise almost anything
        empty = os.path.isfile(path) and not os.path.getsize(path)
        reason = 'the file is empty' if empty else decoding_reason(error)
        raise UndecodableImage(str(path), reason) from error


def decode(file):
    """uint8 BGR array of an upright image, from a path or a file object, by PIL."""
    with Image.open(file) as image:
        image.load()
        return pil_to_array(to_rgb(upright(image)))

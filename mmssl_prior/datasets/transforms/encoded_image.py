"""An image that is decoded when it is known how much of it is needed."""

import io

import cv2
import numpy as np
from PIL import Image

from .array_ops import reduce
from .decoding import decode, decoding

__all__ = ['EncodedImage']

ORIENTATION = 274
END = b'\xff\xd9'  # cannot occur among the coded pixels of a JPEG file
TAIL = 1024
REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


class EncodedImage:
    """The bytes of an image file, and its size from the header.

    Upright, whole colour JPEG files are decoded by OpenCV, at a half, a
    quarter or an eighth of their size if that is enough (libjpeg leaves out
    the higher frequencies of each block). All others take the way of
    :class:`LoadImage`, so that orientation, modes and failures are the same.
    Where an array is asked for (``np.asarray``) it is the one that
    :class:`LoadImage` would have made.

    Args:
        path (str): The file.

    Raises:
        UndecodableImage: If it cannot be read, here or when it is decoded.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, path):
        self.path = path
        self._array = None
        with decoding(path):
            with open(path, 'rb') as file:
                self.data = file.read()
            with Image.open(io.BytesIO(self.data)) as image:
                self._size = image.size
                self.is_plain = _is_plain(image, self.data)

    @property
    def shape(self):
        """(height, width, 3) of the upright image."""
        if not self.is_plain:
            return self.decode().shape
        return self._size[1], self._size[0], 3

    def decode(self):
        """The array that :class:`LoadImage` makes. Not to be changed."""
        if self._array is None:
            with decoding(self.path):
                self._array = decode(io.BytesIO(self.data))
        return self._array

    def __array__(self, dtype=None, copy=None):
        return np.array(self.decode(), dtype)

    def pixels(self, shrink=1):
        """uint8 BGR array of at most 1 / ``shrink`` of the size, the quick way.

        Args:
            shrink (int): 1, 2, 4 or 8. Pixel j stands for the pixels from
                ``shrink * j`` on.
        """
        if self.is_plain:
            array = self._quick(shrink)
            if array is not None:
                return array
        return reduce(self.decode(), shrink) if shrink > 1 else self.decode()

    def _quick(self, shrink):
        """By OpenCV, or None where it does not succeed."""
        flags = REDUCED[shrink] | cv2.IMREAD_IGNORE_ORIENTATION
        try:
            array = cv2.imdecode(np.frombuffer(self.data, np.uint8), flags)
        except cv2.error:
            return None
        expected = tuple(-(-side // shrink) for side in self._size[::-1])
        return array if array is not None and array.shape[:2] == expected else None


def _is_plain(image, data):
    """Whether OpenCV decodes the file to what PIL makes of it, and notices a missing end."""
    if image.format != 'JPEG' or image.mode != 'RGB' or data.rfind(END, -TAIL) < 0:
        return False
    try:
        return 'exif' not in image.info or image.getexif().get(ORIENTATION, 1) == 1
    except Exception:  # PIL's parsers raise almost anything
        return False

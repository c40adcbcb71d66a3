"""Small pictures for a page: bounded in number and in bytes."""

import base64
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ..datasets.transforms.load_image import LoadImage, to_rgb
from ..visualization import to_rgb_array

__all__ = ['data_uri', 'image_at', 'jpeg', 'picture_uris', 'sprite']

SIDES = (176, 144, 112, 88, 64)
BUDGET = 6_000_000
QUALITY = 80
SPRITE_SIDE = 56


def image_at(dataset: Any, index: int, side: int) -> Image.Image:
    """An image of a dataset, upright, in RGB, its longer side at most ``side``.

    JPEG files are decoded at a fraction of their size.

    Args:
        dataset: Of MMEngine; its images are files or arrays (BGR).
        index: Of the image.
        side: In pixels.
    """
    info = dataset.get_data_info(index)
    if info.get('img') is not None:
        image = Image.fromarray(to_rgb_array(info['img']))
    else:
        image = _decoded(info, side)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def _decoded(info: dict, side: int) -> Image.Image:
    try:
        with Image.open(info['img_path']) as file:
            file.draft('RGB', (2 * side, 2 * side))
            return to_rgb(ImageOps.exif_transpose(file)).copy()
    except Exception:  # malformed EXIF data, say, which PIL's parsers stumble over
        return Image.fromarray(to_rgb_array(LoadImage()(dict(info))['img']))


def jpeg(image: Image.Image, quality: int = QUALITY) -> bytes:
    """The bytes of a JPEG file; the same for the same pixels."""
    buffer = io.BytesIO()
    image.save(buffer, 'JPEG', quality=quality, optimize=True)
    return buffer.getvalue()


def data_uri(content: bytes) -> str:
    """A JPEG as the address of an image in a page."""
    return f'data:image/jpeg;base64,{base64.b64encode(content).decode()}'


def picture_uris(
    dataset: Any, indices: Iterable[int], budget: int = BUDGET, sides: Sequence[int] = SIDES
) -> dict[int, str]:
    """Pictures by index, the largest size of which all fit the budget of bytes.

    Args:
        dataset: Of MMEngine.
        indices: Of the images, repeated ones count once.
        budget: Bytes of all JPEG files together; the smallest size may pass it.
        sides: Sizes to try, in pixels, largest first.
    """
    wanted = sorted(set(indices))
    images = {index: image_at(dataset, index, sides[0]) for index in wanted}
    for side in sides:
        for image in images.values():
            image.thumbnail((side, side), Image.Resampling.LANCZOS)
        files = {index: jpeg(image) for index, image in images.items()}
        if sum(map(len, files.values())) <= budget:
            break
    return {index: data_uri(content) for index, content in files.items()}


def sprite(dataset: Any, indices: Sequence[int], side: int = SPRITE_SIDE) -> tuple[str, int]:
    """One picture of many squares, each the middle of an image, and its number of columns."""
    columns = max(1, math.ceil(math.sqrt(len(indices))))
    rows = max(1, -(-len(indices) // columns))
    sheet = np.zeros((rows * side, columns * side, 3), np.uint8)
    for place, index in enumerate(indices):
        # Twice the side, so that the middle of a long image has the pixels.
        image = ImageOps.fit(image_at(dataset, index, 2 * side), (side, side))
        row, column = divmod(place, columns)
        sheet[row * side : (row + 1) * side, column * side : (column + 1) * side] = np.asarray(
            image
        )
    return data_uri(jpeg(Image.fromarray(sheet), 72)), columns

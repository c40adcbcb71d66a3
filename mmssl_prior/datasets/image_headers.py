"""Sizes and formats of images, from their headers."""

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from .transforms.load_image import decoding_reason

__all__ = ['HeaderSummary', 'summarise_headers']

ORIENTATION = 274
SIDEWAYS = (5, 6, 7, 8)  # values of the EXIF orientation that swap width and height


class HeaderSummary(NamedTuple):
    """Result of :func:`summarise_headers`; sizes are (width, height), ordered by area."""

    read: int
    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]
    formats: dict[str, int]
    turned: int
    unreadable: list[tuple[str, str]]


def summarise_headers(paths: Sequence[str], seed: int = 0, limit: int = 1000) -> HeaderSummary:
    """Read the headers of at most ``limit`` images; pixels are not decoded.

    Args:
        paths: Image files.
        seed: Which images are taken where there are more.
        limit: Number of headers to read.

    Returns:
        Upright sizes (the EXIF orientation is respected), formats with their
        counts, the number of images that their EXIF data turn, and the files
        that could not be read, with the reason.
    """
    chosen: Sequence[int] | np.ndarray = range(len(paths))
    if len(paths) > limit:
        chosen = np.sort(np.random.default_rng(seed).choice(len(paths), limit, replace=False))
    sizes: list[tuple[int, int]] = []
    formats: Counter[str] = Counter()
    unreadable: list[tuple[str, str]] = []
    turned = 0
    for index in chosen:
        path = paths[int(index)]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                with Image.open(path) as image:
                    # PIL turns TIFF by itself, and gives the size as turned.
                    exif = {} if image.format == 'TIFF' else image.getexif()
                    orientation = exif.get(ORIENTATION, 1)
                    width, height = image.size
                    kind = (image.format or 'unknown').lower()
        except MemoryError:
            raise
        except Exception as error:  # PIL's parsers raise almost anything
            unreadable.append((path, decoding_reason(error)))
            continue
        turned += orientation in range(2, 9)
        sizes.append((height, width) if orientation in SIDEWAYS else (width, height))
        formats[kind] += 1
    sizes.sort(key=lambda size: (size[0] * size[1], size))
    sizes = sizes or [(0, 0)]
    return HeaderSummary(
        read=sum(formats.values()),
        smallest=sizes[0],
        median=sizes[(len(sizes) - 1) // 2],
        largest=sizes[-1],
        formats=dict(formats.most_common()),
        turned=turned,
        unreadable=unreadable,
    )

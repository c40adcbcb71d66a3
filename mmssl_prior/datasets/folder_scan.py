"""What lies in a folder: images, and what is none."""

import os
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from ..errors import printable

__all__ = ['IMAGE_EXTENSIONS', 'FolderScan', 'scan_folder']

# Formats that PIL reads without plugins, by the names that cameras and programs give them.
IMAGE_EXTENSIONS = (
    '.bmp',
    '.gif',
    '.jfif',
    '.jpe',
    '.jpeg',
    '.jpg',
    '.pbm',
    '.pgm',
    '.png',
    '.pnm',
    '.ppm',
    '.tif',
    '.tiff',
    '.webp',
)


class FolderScan(NamedTuple):
    """Result of :func:`scan_folder`.

    Attributes:
        images (list[str]): Paths of the images, sorted.
        ignored (dict[str, int]): Number of other files by extension, the most
            frequent first.
        empty (list[str]): Image files of zero bytes.
        unreadable (list[tuple[str, str]]): Folders and links that cannot be
            followed, with the reason.
    """

    images: list[str]
    ignored: dict[str, int]
    empty: list[str]
    unreadable: list[tuple[str, str]]

    def skipped(self, named: int = 5) -> str:
        """What is none of the images, in one line; empty where there is nothing."""
        parts = [f'{count} {extension}' for extension, count in list(self.ignored.items())[:named]]
        rest = sum(list(self.ignored.values())[named:])
        parts += [f'{rest} others'] if rest else []
        if self.empty:
            names = ', '.join(printable(path) for path in self.empty[:named])
            parts.append(f'{len(self.empty)} of zero bytes ({names}{_more(self.empty, named)})')
        if self.unreadable:
            names = ', '.join(
                f'{printable(path)}: {reason}' for path, reason in self.unreadable[:named]
            )
            parts.append(
                f'{len(self.unreadable)} unreadable ({names}{_more(self.unreadable, named)})'
            )
        return ', '.join(parts)


def _more(items: list, named: int) -> str:
    return ', ...' if len(items) > named else ''


def scan_folder(root: str, extensions: Iterable[str] = IMAGE_EXTENSIONS) -> FolderScan:
    """Find the images below a folder, whatever the case of their extensions.

    Hidden files and folders are passed over, as MMEngine does; links are
    followed, each folder is entered once. A folder that cannot be read is
    noted, not an error.

    Args:
        root: The folder.
        extensions: With the dot, in lower case.
    """
    wanted = frozenset(extensions)
    images: list[str] = []
    ignored: Counter[str] = Counter()
    empty: list[str] = []
    unreadable: list[tuple[str, str]] = []
    seen: set[tuple[int, int]] = set()
    folders = [os.fspath(root)]
    while folders:
        folder = folders.pop()
        try:
            stat = os.stat(folder)
            if (stat.st_dev, stat.st_ino) in seen:
                continue
            seen.add((stat.st_dev, stat.st_ino))
            with os.scandir(folder) as entries:
                # Sorted, so that of two ways to a folder the same one is taken on all ranks.
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            unreadable.append((folder, error.strerror or str(error)))
            continue
        for entry in listed:
            if entry.name.startswith('.'):
                continue
            extension = os.path.splitext(entry.name)[1].lower()
            try:
                if entry.is_dir():
                    folders.append(entry.path)
                elif extension not in wanted:
                    ignored[printable(extension) or 'without extension'] += 1
                elif entry.stat().st_size:
                    images.append(entry.path)
                else:
                    empty.append(entry.path)
            except OSError as error:
                unreadable.append((entry.path, error.strerror or str(error)))
    return FolderScan(
        sorted(images), dict(ignored.most_common()), sorted(empty), sorted(unreadable)
    )

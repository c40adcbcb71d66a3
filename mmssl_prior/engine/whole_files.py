"""Files that are on the disk whole, or not at all."""

import os
from pathlib import Path

__all__ = ['publish', 'replace']


def publish(written: Path, name: Path) -> None:
    """Flush a file to the disk and give it its name."""
    with open(written, 'rb') as file:
        os.fsync(file.fileno())
    os.replace(written, name)
    _flush_folder(name.parent)


def replace(path: Path, prefix: str, text: str) -> None:
    """Replace a small file as a whole, by way of one with this prefix."""
    part = path.with_name(f'{prefix}{path.name}')
    with open(part, 'w', encoding='utf-8') as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    # The new name is on the disk only when the folder is. Some file systems cannot flush one.
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)

"""The newest checkpoint of a run that is whole."""

import logging
import struct
import zipfile
import zlib
from pathlib import Path

from mmengine.logging import print_log

from mmssl_prior.errors import UserError, printable

__all__ = ['is_whole', 'latest_checkpoint']

LATEST = 'last_checkpoint'
PICKLE = b'\x80\x02'
# What a reader of archives raises at bytes that are none: names that are no text, for example.
DAMAGE = (
    OSError,
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    struct.error,
    zlib.error,
)


def is_whole(path: str | Path) -> bool:
    """Whether a checkpoint can be read to its end, by the checksums in it.

    Its weights are read once, not kept. A file in torch's format of before
    1.6, which has no checksums, counts as whole if it begins as one.
    """
    try:
        with open(path, 'rb') as file:
            head = file.read(2)
        if head != b'PK':
            return head == PICKLE
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except DAMAGE:
        return False


def latest_checkpoint(work_dir: str | Path, warn: bool = True) -> str | None:
    """The checkpoint that a resume of this work dir continues from, or None if there is none.

    The one that ``last_checkpoint`` names; if it is damaged or missing, the
    newest that is whole.

    Args:
        work_dir: The work dir.
        warn: Whether to say so if it is not the newest one.

    Raises:
        UserError: If there are checkpoints, and none is whole.
    """
    folder = Path(work_dir)
    named = None
    if (folder / LATEST).is_file():
        text = (folder / LATEST).read_text(encoding='utf-8').strip()
        if '://' in text:  # kept elsewhere, where MMEngine finds it
            return text
        # Beside it first: of a copied work dir the name is that of the original.
        beside = folder / Path(text).name
        named = Path(text) if Path(text).is_file() and not beside.is_file() else beside
        if named.is_file() and is_whole(named):
            return str(named)
    places = {folder, named.parent} if named is not None else {folder}
    written = [path for place in places if place.is_dir() for path in place.glob('*_*.pth')]
    # The best one has no optimizer to go on with.
    candidates = [path for path in written if path.name.startswith(('epoch_', 'iter_'))]
    candidates.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    if named is None and not candidates:
        return None
    state = '' if named is None else 'is damaged' if named.is_file() else 'is missing'
    for path in candidates:
        if path != named and is_whole(path):
            if named is not None and warn:
                print_log(
                    f'checkpoint {printable(named)} {state}; resuming from the one before, '
                    f'{printable(path)}',
                    logger='current',
                    level=logging.WARNING,
                )
            return str(path)
    first = f'{printable(named)} {state}, and ' if named is not None else ''
    raise UserError(
        f'--resume: {first}none of {len(candidates)} checkpoints in {printable(folder)} is whole; '
        'start again without --resume, in another --work-dir'
    )

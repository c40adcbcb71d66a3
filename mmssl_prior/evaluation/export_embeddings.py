"""Embeddings of a whole dataset on disk: written as they come, resumed where they stopped."""

import csv
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from ..errors import UserError, printable
from .features import evaluation_mode, pooled, single_view
from .images_in_order import ImagesInOrder, collated

__all__ = ['Export', 'export_embeddings']

HEADER = 128  # bytes of the .npy header, of one size whatever the number of rows
NAMES = ('embeddings.npy', 'embeddings.csv', 'skipped.csv')
STATE = 'export.part.json'


class Export(NamedTuple):
    """What :func:`export_embeddings` wrote."""

    rows: int
    width: int
    skipped: int
    resumed_at: int


def export_embeddings(
    model: nn.Module,
    dataset: Any,
    out: str | Path,
    identity: Sequence[str] = (),
    batch_size: int = 64,
    num_workers: int = 0,
    root: str = '',
    progress: bool = True,
) -> Export:
    """Write the evaluation features of a dataset, in its order.

    Into ``out``: ``embeddings.npy``, float32 of shape (N, D), which
    ``numpy.load(..., mmap_mode='r')`` opens without reading it;
    ``embeddings.csv`` with ``row`` and ``path``, and for a model with
    prototypes ``prototype``, the most probable one, and its ``log_prob``;
    ``skipped.csv`` with the images that could not be decoded and the reason:
    they have no row. Paths are relative to ``root``; bytes in them that are
    not UTF-8 are written as escapes.

    Rows go to files that end in ``.part`` and get their names when all are
    complete, ``embeddings.npy`` last. An interrupted export goes on where it
    stopped, if it is of the same ``identity``, files and width. Main memory
    holds a batch.

    Args:
        model: Model with MMEngine's ``data_preprocessor``; ``mode='tensor'``
            gives the features (for MSN those of the target network).
        dataset: Of MMEngine, with a deterministic single-view pipeline.
        out: Folder, made if it is missing.
        identity: What else the rows depend on: checkpoint, model, pipeline.
        batch_size: Images that pass the model together.
        num_workers: Processes that load images.
        root: Folder that the paths are relative to.
        progress: Whether to show a progress bar.

    Returns:
        Number of rows, their width, number of skipped images, and the image
        at which an interrupted export was taken up (0: at the start).

    Raises:
        UserError: If the folder holds another export or cannot be written, no
            image can be decoded, or the pipeline gives several views.
    """
    out = Path(out)
    paths = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    digest = hashlib.sha256('\0'.join([*identity, *map(_stamp, paths)]).encode()).hexdigest()
    with _writable(out):
        if (out / NAMES[0]).exists():
            raise UserError(f'{out / NAMES[0]} exists: remove it or name another folder')
        out.mkdir(parents=True, exist_ok=True)
        writer = _Writer(out, digest)
    start = writer.images
    loader = DataLoader(
        Subset(ImagesInOrder(dataset), range(start, len(paths))),
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=list,
    )
    names = [printable(os.path.relpath(path, root) if root else path) for path in paths]
    try:
        for batch in _shown(loader, len(paths), start) if progress else loader:
            _write_batch(model, batch, names[writer.images :], writer)
    finally:
        writer.close()
    if not writer.rows:
        # The list of what was skipped stays; the same command starts anew.
        (out / STATE).unlink()
        raise UserError(f'none of {len(paths)} images can be decoded: {out / NAMES[2]}.part')
    with _writable(out):
        writer.finish()
    return Export(writer.rows, writer.width, writer.images - writer.rows, start)


@contextmanager
def _writable(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f'{printable(out)} cannot be written: {error.strerror or error}: name another folder, '
            'or make room there'
        ) from error


def _stamp(path: str) -> str:
    """A file's name, and what changes when it is replaced."""
    try:
        stat = os.stat(path)
    except OSError:
        return printable(path)
    return f'{printable(path)} {stat.st_size} {stat.st_mtime_ns}'


@torch.no_grad()
def _write_batch(model: Any, batch: list, names: list[str], writer: '_Writer') -> None:
    good = [sample for sample in batch if not isinstance(sample, str)]
    features, prototypes = np.empty((0, 0), np.float32), None
    if good:
        # A dataloader and a model may draw from the global generator; rows depend on no seed.
        with evaluation_mode(model):
            data = model.data_preprocessor(collated(good), False)
            output = model(
                single_view(data['inputs'], 'export'), data.get('data_samples'), mode='tensor'
            )
            embedded = pooled(output, 'export').float()
            prototypes = _prototypes(model, embedded)
        features = np.ascontiguousarray(embedded.cpu().numpy(), dtype='<f4')
    rows, skipped, row = [], [], 0
    for name, sample in zip(names, batch):
        if isinstance(sample, str):
            skipped.append((name, sample))
            continue
        extra = () if prototypes is None else (int(prototypes[0][row]), f'{prototypes[1][row]:.6g}')
        rows.append((writer.rows + row, name, *extra))
        row += 1
    columns = ('row', 'path') if prototypes is None else ('row', 'path', 'prototype', 'log_prob')
    with _writable(writer.out):
        writer.write(features, rows, columns, skipped, len(batch))


def _prototypes(model: Any, features: Tensor) -> tuple[list, list] | None:
    """Most probable prototype of each image and its log-probability, for a model that has some."""
    if not hasattr(model, 'target_neck') or not hasattr(model.head, 'log_probs'):
        return None
    log_prob, index = model.head.log_probs(model.target_neck(features)).max(1)
    return index.tolist(), log_prob.tolist()


class _Writer:
    """The three files with the suffix .part, and how much of them is sure to be complete."""

    def __init__(self, out: Path, digest: str) -> None:
        self.out, self.digest = out, digest
        self.parts = [out / f'{name}.part' for name in NAMES]
        state = self._state()
        self.images, self.rows, self.width = state['images'], state['rows'], state['width']
        self.files = [open(path, 'r+b' if self.images else 'w+b') for path in self.parts]
        for file, size in zip(self.files, state['sizes']):
            # What was written after the last note may be half of something.
            file.truncate(size)
            file.seek(size)

    def _state(self) -> dict[str, Any]:
        fresh = dict(digest=self.digest, images=0, rows=0, width=0, sizes=[HEADER, 0, 0])
        path = self.out / STATE
        if not path.is_file():
            return fresh
        try:
            state = json.loads(path.read_text())
            whose = [state[name] for name in fresh][0]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f'{printable(path)} is damaged: remove it to start anew') from error
        if whose != self.digest:
            raise UserError(
                f'{self.out} holds an unfinished export of other images or of another checkpoint '
                f'or config: remove {path} to start anew, or name another folder'
            )
        sizes = [part.stat().st_size if part.is_file() else -1 for part in self.parts]
        whole = all(size >= noted for size, noted in zip(sizes, state['sizes']))
        return state if whole else fresh

    def write(
        self,
        features: np.ndarray,
        rows: list[tuple],
        columns: tuple[str, ...],
        skipped: list[tuple[str, str]],
        images: int,
    ) -> None:
        npy, table, left_out = self.files
        if rows:
            if not self.rows:
                self.width = features.shape[1]
                table.write(_csv([columns]))
            npy.write(features.tobytes())
            table.write(_csv(rows))
        if not left_out.tell():
            left_out.write(_csv([('path', 'reason')]))
        left_out.write(_csv(skipped))
        for file in self.files:
            file.flush()
        self.images += images
        self.rows += len(rows)
        self._note()

    def _note(self) -> None:
        state = dict(
            digest=self.digest,
            images=self.images,
            rows=self.rows,
            width=self.width,
            sizes=[file.tell() for file in self.files],
        )
        path = self.out / f'{STATE}.new'
        path.write_text(json.dumps(state))
        path.replace(self.out / STATE)

    def close(self) -> None:
        for file in self.files:
            file.close()

    def finish(self) -> None:
        """Complete the header and give the files their names, the array last."""
        with open(self.parts[0], 'r+b') as file:
            file.write(_npy_header(self.rows, self.width))
            file.flush()
            os.fsync(file.fileno())
        for part, name in reversed(list(zip(self.parts, NAMES))):
            part.replace(self.out / name)
        (self.out / STATE).unlink(missing_ok=True)


def _npy_header(rows: int, width: int) -> bytes:
    """Header of version 1.0 for a float32 array in C order, padded to its fixed size."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}"
    magic = b'\x93NUMPY\x01\x00'
    length = HEADER - len(magic) - 2
    return magic + length.to_bytes(2, 'little') + text.ljust(length - 1).encode() + b'\n'


def _csv(rows: Sequence[Sequence]) -> bytes:
    class Lines(list):
        write = list.append

    lines = Lines()
    csv.writer(lines, lineterminator='\n').writerows(rows)
    return ''.join(lines).encode()


def _shown(loader: DataLoader, total: int, start: int) -> Iterator[list]:
    """The batches under a progress bar of images."""
    from rich.progress import Progress

    with Progress() as bar:
        task = bar.add_task('embeddings', total=total, completed=start)
        for batch in loader:
            yield batch
            bar.advance(task, len(batch))

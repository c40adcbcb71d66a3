"""The files of stored features: allocated, filled chunk by chunk, declared complete at the end."""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine import dist
from mmengine.logging import print_log

from ..errors import UserError, printable
from .chunk_rows import ChunkRows

__all__ = ['LABELS', 'Plan', 'complete', 'extract', 'finish', 'prepare']

MANIFEST, STATE, CHUNKS, LABELS = 'manifest.json', 'state.json', 'chunks', 'labels'


class Plan(NamedTuple):
    """What is left to do: chunks by number."""

    state: dict[str, Any]
    todo: list[int]

    @property
    def size(self) -> int:
        """Number of all chunks."""
        return -(-self.state['images'] // self.state['chunk'])

    def span(self, number: int) -> range:
        """The images of a chunk."""
        size = self.state['chunk']
        return range(number * size, min((number + 1) * size, self.state['images']))


def complete(folder: Path, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """The manifest of features that are all there."""
    found = _read_json(folder / MANIFEST)
    if found is None:
        return None
    if wanted.items() <= found.items() and _sizes_fit(folder, found):
        return found
    print_log(
        f'{printable(folder)}: files are missing or have another size than {MANIFEST} says; they '
        'are extracted again',
        logger='current',
        level=logging.WARNING,
    )
    return None


def prepare(folder: Path, manifest: dict[str, Any], rows: ChunkRows, chunk: int) -> Plan:
    """Take up an unfinished extraction, or allocate the files of a new one."""
    (folder / MANIFEST).unlink(missing_ok=True)
    state = _read_json(folder / STATE)
    if state is not None and state['manifest'] == manifest and _sizes_fit(folder, state):
        plan = Plan(state, [])
        done = {int(path.stem) for path in (folder / CHUNKS).glob('*.json')}
        todo = [number for number in range(plan.size) if number not in done]
        print_log(
            f'{rows.name}: {len(done)} of {plan.size} chunks of features are in '
            f'{printable(folder)} already',
            logger='current',
        )
        return plan._replace(todo=todo)
    # A state without its files, or the other way round.
    (folder / STATE).unlink(missing_ok=True)
    shutil.rmtree(folder / CHUNKS, ignore_errors=True)
    (folder / CHUNKS).mkdir()
    images, dtype = manifest['images'], np.dtype(manifest['dtype'])
    widths = rows.widths()
    needed = images * (sum(widths.values()) * dtype.itemsize + 8)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f'{rows.name}: the features need {needed / 1e9:.2f} GB, {printable(folder)} has '
            f'{free / 1e9:.2f} GB free'
        )
    for feature, width in widths.items():
        np.lib.format.open_memmap(_array(folder, feature), 'w+', dtype, (images, width))
    np.lib.format.open_memmap(_array(folder, LABELS), 'w+', np.int64, (images,))
    state = dict(manifest=manifest, dtype=manifest['dtype'], widths=widths, images=images)
    state['chunk'] = chunk
    _write_json(folder / STATE, state)
    plan = Plan(state, [])
    return plan._replace(todo=list(range(plan.size)))


def extract(folder: Path, plan: Plan, rows: ChunkRows) -> None:
    """This rank's share of the chunks: rows first, then the note that they are there."""
    rank, world = dist.get_dist_info()
    mine = plan.todo[rank::world]
    state = plan.state
    spans = [plan.span(number) for number in mine]
    chunks = rows.chunks(spans, state['widths'], state['dtype'])
    for number, span, chunk in zip(mine, spans, chunks):
        for feature, array in (*chunk.features.items(), (LABELS, chunk.labels)):
            _write_rows(_array(folder, feature), span.start, array)
        note = dict(labelled=chunk.labelled, skipped=chunk.skipped)
        _write_json(folder / CHUNKS / f'{number:06d}.json', note)


def _write_rows(path: Path, start: int, rows: np.ndarray) -> None:
    """Put rows into their place in the array of a file, and see them to the disk."""
    offset = np.load(path, mmap_mode='r').offset
    with open(path, 'r+b') as file:
        file.seek(offset + start * rows[0].nbytes)
        file.write(np.ascontiguousarray(rows).tobytes())
        file.flush()
        os.fsync(file.fileno())


def finish(folder: Path, plan: Plan, name: str) -> dict[str, Any]:
    """Write the manifest, once all ranks have written everything."""
    notes = [_read_json(folder / CHUNKS / f'{number:06d}.json') for number in range(plan.size)]
    if None in notes:
        raise UserError(f'{printable(folder)}: chunks are missing; do all ranks see this folder?')
    skipped = [pair for note in notes for pair in note['skipped']]
    labelled, images = sum(note['labelled'] for note in notes), plan.state['images']
    if labelled not in (0, images - len(skipped)):
        raise UserError(
            f'{name}: only {labelled} of {images - len(skipped)} samples have a gt_label'
        )
    manifest = plan.state['manifest'] | dict(
        widths=plan.state['widths'], labelled=labelled > 0, skipped=skipped
    )
    _write_json(folder / MANIFEST, manifest)
    (folder / STATE).unlink()
    shutil.rmtree(folder / CHUNKS)
    if skipped:
        position, reason = skipped[0]
        print_log(
            f'{name}: {len(skipped)} images cannot be decoded and have no features; the first is '
            f'number {position} ({reason})',
            logger='current',
            level=logging.WARNING,
        )
    return manifest


def _array(folder: Path, feature: str) -> Path:
    return folder / f'{feature}.npy'


def _sizes_fit(folder: Path, found: Mapping[str, Any]) -> bool:
    """Whether the arrays have the shapes and types that are written down, to the last byte."""
    images, dtype = found['images'], found['dtype']
    expected: dict[str, tuple[str, tuple[int, ...]]] = {
        name: (dtype, (images, width)) for name, width in found['widths'].items()
    }
    expected[LABELS] = ('int64', (images,))
    for name, known in expected.items():
        try:
            array = np.load(_array(folder, name), mmap_mode='r')
        except (OSError, ValueError):  # missing, cut off, no array
            return False
        if (str(array.dtype), array.shape) != known:
            return False
    return True


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (FileNotFoundError, ValueError):
        return None


def _write_json(path: Path, content: Any) -> None:
    """All of it or nothing, also if the machine stops."""
    part = path.with_suffix('.part')
    with open(part, 'w', encoding='utf-8') as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)

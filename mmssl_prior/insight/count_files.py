"""Class counts as users have them: a text file, a table or JSON."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from ..errors import UserError, printable

__all__ = ['read_counts']

#: Headings of a column of counts.
HEADINGS = ('count', 'counts', 'images', 'num_images', 'n', 'frequency')
SUFFIXES = ('.txt', '.csv', '.json')


def read_counts(path: str | Path) -> list[int]:
    """Number of images of each class, from a file.

    * ``.txt``: one number a line; what follows a ``#`` is a comment.
    * ``.csv``: one column, or several of which one is called count, counts,
      images, num_images, n or frequency; of two without headings the second.
    * ``.json``: a list of numbers, or an object from class to number.

    Args:
        path: The file.

    Raises:
        UserError: If the file is missing or of another kind, or an entry is
            no whole number >= 0; names file, line and field.
    """
    file = Path(path).expanduser()
    name = f'class counts in {printable(path)}'
    if not file.is_file():
        problem = 'is a folder' if file.is_dir() else 'no such file'
        raise UserError(f'{name}: {problem}')
    if file.suffix.lower() not in SUFFIXES:
        raise UserError(
            f'{name}: unknown extension {file.suffix!r}; expected one of {", ".join(SUFFIXES)}'
        )
    try:
        text = file.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, 'strerror', None) or 'not UTF-8'
        raise UserError(f'{name}: cannot be read: {reason}') from error
    read = dict(txt=_text, csv=_table, json=_json)[file.suffix.lower()[1:]]
    counts = read(text, name)
    if not counts:
        raise UserError(f'{name}: the file holds no counts')
    return counts


def _text(text: str, name: str) -> list[int]:
    lines = ((i, line.split('#')[0].strip()) for i, line in enumerate(text.splitlines(), 1))
    return [_count(line, f'{name}, line {i}') for i, line in lines if line]


def _table(text: str, name: str) -> list[int]:
    reader = csv.reader(io.StringIO(text))
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise UserError(f'{name}, line {reader.line_num}: {error}') from error
    rows = [(line, row) for line, row in rows if any(row)]
    if not rows:
        return []
    first = rows[0][1]
    headings = [cell.lower() for cell in first]
    known = [i for i, heading in enumerate(headings) if heading in HEADINGS]
    if known:
        column, rows = known[0], rows[1:]
    elif len(first) > 2:
        raise UserError(
            f'{name}, line {rows[0][0]}: {len(first)} columns, of which none is called one of '
            f'{", ".join(HEADINGS)}'
        )
    else:
        column = len(first) - 1
    counts = []
    for line, row in rows:
        if column >= len(row):
            raise UserError(f'{name}, line {line}: {len(row)} fields, expected {len(first)}')
        counts.append(_count(row[column], f'{name}, line {line}, field {column + 1}'))
    return counts


def _json(text: str, name: str) -> list[int]:
    try:
        content: Any = json.loads(text)
    except ValueError as error:
        raise UserError(f'{name}: no JSON ({error})') from error
    if isinstance(content, dict):
        return [_count(value, f'{name}, field {key!r}') for key, value in content.items()]
    if isinstance(content, list):
        return [_count(value, f'{name}, entry {i}') for i, value in enumerate(content)]
    raise UserError(f'{name}: expected a list of numbers or an object from class to number')


def _count(value: Any, place: str) -> int:
    """The number, which may be a float's spelling of a whole one."""
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
        if not (number >= 0 and number == round(number)):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise UserError(
            f'{place}: {printable(repr(value))} is no number of images: expected a whole number '
            '>= 0'
        ) from None
    return int(number)

"""One picture of an image and its views."""

import functools
import os.path as osp
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = ['view_sheet']

WHITE, INK, GRAY, LINE = '#ffffff', '#22272e', '#6b7580', '#d5dade'
MARGIN, GAP, ROW_GAP, BLOCK_GAP, SPACE = 20, 10, 10, 26, 6
TOP, LABEL = 44, 18  # from the edge to the first label, and from a label to its picture
# Small views are enlarged until the largest has this height, so that labels fit beside it.
LEGIBLE = 160


class _Cell(NamedTuple):
    image: Image.Image
    name: str
    size: str

    @property
    def name_width(self) -> int:
        return round(_font(12, bold=True).getlength(self.name))

    @property
    def width(self) -> int:
        """Of the picture or of its label, whichever is wider."""
        label = self.name_width + SPACE + round(_font(12).getlength(self.size))
        return max(self.image.width, label)


def view_sheet(
    original: np.ndarray,
    views: Sequence[np.ndarray],
    names: Sequence[str],
    title: str = '',
    mask: np.ndarray | None = None,
) -> Image.Image:
    """The original on the left, its views to the right, each with its name and size.

    Views of one size stand together, in as many rows as fit beside the
    largest. All views are drawn at one scale: their own pixels, or a whole
    multiple where the largest would be too small to see. The original is
    fitted to the height of the largest view.

    Args:
        original: uint8 RGB of shape (H, W, 3), as are the views.
        views: At least one.
        names: A name for each view.
        title: A line above.
        mask: Patches that a model will not see, shape (rows, columns), 1 for
            hidden; the first view is shown once more with these in grey.

    Example:
        >>> black = np.zeros((224, 224, 3), np.uint8)
        >>> view_sheet(black, [black] * 2 + [black[:96, :96]] * 10, ['view'] * 12).size
        (1294, 306)
    """
    views, names = list(views), list(names)
    if mask is not None:
        views.insert(1, _hidden(views[0], mask))
        names.insert(1, 'hidden patches')
    scale = max(1, -(-LEGIBLE // max(view.shape[0] for view in views)))
    height = max(view.shape[0] for view in views) * scale
    blocks = [[_fitted(original, height)]]
    for view, name in zip(views, names):
        cell = _scaled(view, name, scale)
        if len(blocks) == 1 or blocks[-1][-1].image.size != cell.image.size:
            blocks.append([])
        blocks[-1].append(cell)
    placed, width = _place(blocks, height)
    titles = _font(14, bold=True)
    width = max(width, round(titles.getlength(title)) + 2 * MARGIN)
    sheet = Image.new('RGB', (width, TOP + LABEL + height + MARGIN), WHITE)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN - 6), title, fill=INK, font=titles)
    for cell, x, y in placed:
        draw.text((x, y), cell.name, fill=INK, font=_font(12, bold=True))
        draw.text((x + cell.name_width + SPACE, y), cell.size, fill=GRAY, font=_font(12))
        y += LABEL
        sheet.paste(cell.image, (x, y))
        draw.rectangle((x - 1, y - 1, x + cell.image.width, y + cell.image.height), outline=LINE)
    return sheet


def _place(blocks: list[list[_Cell]], height: int) -> tuple[list[tuple[_Cell, int, int]], int]:
    """Each cell with the corner of its label, and the width of the whole."""
    placed, left = [], MARGIN
    for block in blocks:
        cell_width = max(cell.width for cell in block)
        row_height = block[0].image.height + LABEL + ROW_GAP
        rows = max(1, (height + LABEL + ROW_GAP) // row_height)
        columns = -(-len(block) // rows)
        for number, cell in enumerate(block):
            row, column = divmod(number, columns)
            placed.append((cell, left + column * (cell_width + GAP), TOP + row * row_height))
        left += columns * (cell_width + GAP) - GAP + BLOCK_GAP
    return placed, left - BLOCK_GAP + MARGIN


def _scaled(view: np.ndarray, name: str, scale: int) -> _Cell:
    rows, columns = view.shape[:2]
    image = Image.fromarray(view).resize((columns * scale, rows * scale), Image.Resampling.NEAREST)
    return _Cell(image, name, _size(view))


def _fitted(original: np.ndarray, height: int) -> _Cell:
    rows, columns = original.shape[:2]
    # A panorama must not push the views out of sight.
    width = max(1, round(columns * height / rows))
    if width > 3 * height:
        width, height = 3 * height, max(1, round(rows * 3 * height / columns))
    enlarged = height > rows
    method = Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS
    image = Image.fromarray(original).resize((width, height), method)
    return _Cell(image, 'original', _size(original))


def _size(image: np.ndarray) -> str:
    rows, columns = image.shape[:2]
    return f'{rows} px' if rows == columns else f'{columns} × {rows}'


def _hidden(view: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The view with the hidden patches in grey."""
    rows = np.arange(view.shape[0]) * mask.shape[0] // view.shape[0]
    columns = np.arange(view.shape[1]) * mask.shape[1] // view.shape[1]
    hidden = mask.astype(bool)[rows][:, columns]
    return np.where(hidden[..., None], np.uint8(160), view)


@functools.cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    # Matplotlib brings a font along; a machine may have none.
    import matplotlib

    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return ImageFont.truetype(osp.join(matplotlib.get_data_path(), 'fonts', 'ttf', name), size)

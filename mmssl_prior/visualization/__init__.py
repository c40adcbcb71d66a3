"""Pictures of what a data pipeline makes."""

from .browse import BrowsedImage, browse
from .pixels import to_rgb_array
from .view_sheet import view_sheet

__all__ = ['BrowsedImage', 'browse', 'to_rgb_array', 'view_sheet']

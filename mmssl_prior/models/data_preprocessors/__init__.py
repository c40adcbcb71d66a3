"""From what a data loader hands over to what a model takes."""

from .multi_view_data_preprocessor import MultiViewDataPreprocessor

__all__ = ['MultiViewDataPreprocessor']

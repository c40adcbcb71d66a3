"""Studies: grids of configs over seeds, what they measured, and what may be said of it."""

from .cells import Cell, Run, study_cells, study_runs
from .observation import Observation
from .reading import read_study
from .rows import Row, add_rows, read_rows, study_rows
from .study import Grid, Level, Study

__all__ = [
    'Cell',
    'Grid',
    'Level',
    'Observation',
    'Row',
    'Run',
    'Study',
    'add_rows',
    'read_rows',
    'read_study',
    'study_cells',
    'study_rows',
    'study_runs',
]

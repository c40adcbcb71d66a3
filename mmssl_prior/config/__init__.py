"""Reading a config and finding its mistakes before anything is built."""

from .arguments import check_arguments
from .checkpoints import check_checkpoint, check_checkpoints
from .loading import load_config
from .overrides import apply_overrides, parse_overrides
from .schedules import warn_of_schedules

__all__ = [
    'apply_overrides',
    'check_arguments',
    'check_checkpoint',
    'check_checkpoints',
    'load_config',
    'parse_overrides',
    'warn_of_schedules',
]

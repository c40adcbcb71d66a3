"""Reading a config and finding its mistakes before anything is built."""

from .arguments import check_arguments
from .checkpoints import (
    check_checkpoint,
    check_checkpoints,
    check_complete,
    checkpoint_weights,
    read_checkpoint,
)
from .classes import check_classes, check_tested_classes
from .data_roots import check_data_roots
from .latest_checkpoint import is_whole, latest_checkpoint
from .literal_config import literal_config
from .loading import load_config
from .overrides import apply_overrides, parse_overrides
from .packaged import package_root, resolve_config
from .safe_reading import safe_reading
from .schedules import warn_of_schedules

__all__ = [
    'apply_overrides',
    'check_arguments',
    'check_checkpoint',
    'check_checkpoints',
    'check_classes',
    'check_tested_classes',
    'check_complete',
    'check_data_roots',
    'checkpoint_weights',
    'is_whole',
    'latest_checkpoint',
    'literal_config',
    'load_config',
    'package_root',
    'parse_overrides',
    'read_checkpoint',
    'resolve_config',
    'safe_reading',
    'warn_of_schedules',
]

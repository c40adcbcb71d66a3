"""Schedules that do not end where the training does."""

import logging
import math
from collections.abc import Mapping

from mmengine.config import Config
from mmengine.logging import print_log

__all__ = ['warn_of_schedules']


def _last_end(schedules: list[Mapping]) -> float:
    """The last epoch that any schedule by epoch reaches; without an ``end`` it has none."""
    ends = [item.get('end') for item in schedules if item.get('by_epoch', True)]
    return max((math.inf if end is None else end for end in ends), default=math.inf)


def warn_of_schedules(cfg: Config) -> None:
    """Warns, in one line, where the last schedule ends before or after ``max_epochs``.

    That is what an override of ``train_cfg.max_epochs`` leaves behind: the
    schedules were computed when the file was read. A ``T_max`` beyond the end
    is a choice of the schedule, and none of this.

    Args:
        cfg: A config, with the command line applied.
    """
    loop, schedules = cfg.get('train_cfg') or {}, cfg.get('param_scheduler') or []
    epochs = loop.get('max_epochs')
    if isinstance(schedules, Mapping):
        # One schedule; schedules of several optimizers by name are left alone.
        schedules = [schedules] if 'type' in schedules else []
    end = _last_end([item for item in schedules if isinstance(item, Mapping)])
    if epochs is None or math.isinf(end) or end == epochs:
        return
    print_log(
        f'train_cfg.max_epochs is {epochs} but the last param_scheduler ends at {end}: set both '
        'in the config file (or a copy of it), where the schedules are computed, or override '
        '`end`, `T_max` and `milestones` of param_scheduler as well',
        logger='current',
        level=logging.WARNING,
    )

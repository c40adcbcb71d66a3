"""Schedules that do not end where the training does."""

import logging
import math
from collections.abc import Mapping

from mmengine.config import Config
from mmengine.logging import print_log

__all__ = ['warn_of_restored_schedules', 'warn_of_schedules']

# Those that keep the length that they are built with.
FOLLOWING = 'WarmupCosineParamScheduler'


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


def warn_of_restored_schedules(cfg: Config, checkpoint: Mapping, path: str) -> None:
    """Warns, in one line, where a checkpoint brings schedules of another length than the config's.

    MMEngine's schedules take their ``end`` from the checkpoint, whatever the
    config says, and stay where they are after it.

    Args:
        cfg: A config, with the command line applied.
        checkpoint: Content of the checkpoint that a resumed run takes up.
        path: Where it lies, for the message.
    """
    schedules, saved = cfg.get('param_scheduler') or [], checkpoint.get('param_schedulers')
    schedules = [schedules] if isinstance(schedules, Mapping) else schedules
    meta = checkpoint.get('meta') or {}
    epochs = (cfg.get('train_cfg') or {}).get('max_epochs')
    if not isinstance(saved, list) or len(saved) != len(schedules) or not meta.get('epoch'):
        return
    # Of the epochs that are finished; ours may be saved within one.
    within = ((checkpoint.get('run_state') or {}).get('position') or {}).get('batches', 0)
    steps = (meta['iter'] - within) / meta['epoch']
    for item, state in zip(schedules, saved):
        asked = item.get('end', epochs)
        # The names of several optimizers' schedules, or steps that nothing says in epochs.
        if asked is None or not item.get('by_epoch', True) or FOLLOWING in str(item.get('type')):
            continue
        kept = state['end'] if state['by_epoch'] else state['end'] / steps
        if abs(kept - asked) > 0.5:
            print_log(
                f'resume {path}: its {item["type"]} ends at epoch {kept:.0f} and keeps that, '
                f'though the config says {asked}: after it the value stays as it is. For another '
                'length start a new run from its weights with load_from',
                logger='current',
                level=logging.WARNING,
            )
            return

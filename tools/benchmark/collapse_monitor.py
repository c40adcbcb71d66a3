"""What the monitor of collapse costs in a training on the embedded data.

python tools/benchmark/collapse_monitor.py [CONFIG] [--steps 60] [--every 10]

Trains the steps with a record after every few of them, and prints seconds of
processor time (and of the clock) of a step without record, of a record
without and with a picture, and what share of the time they are at the
config's own intervals. Medians, all from one run, so that a busy machine
disturbs them alike.
"""

import argparse
import statistics
import tempfile
import time

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmssl_prior.engine import CollapseMonitorHook

CONFIG = 'configs/pmsn/pmsn_vit-mini_patterns-lt.py'


class Stop(Hook):
    """Ends the training, and times each step from its batch to behind the optimizer."""

    priority = 'VERY_HIGH'

    def __init__(self, steps):
        self.steps = steps
        self.times = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.steps:
            raise KeyboardInterrupt
        self.begin = now()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.times.append(since(self.begin))


def now():
    """Processor time and clock."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.process_time(), time.perf_counter()


def since(begin):
    return tuple(end - start for start, end in zip(begin, now()))


def main():
    args = parse_args()
    cfg = Config.fromfile(args.config)
    own = {'interval': 100, 'figure_interval': 10} | dict(cfg.default_hooks.collapse)
    cfg.default_hooks.collapse.update(interval=args.every, figure_interval=2)
    cfg.train_cfg.val_interval = 10**9
    cfg.train_cfg.max_epochs = 10**6
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.log_level = 'ERROR'
    records = []
    measure = CollapseMonitorHook.after_train_iter

    def timed(self, *arguments, **keywords):
        begin, before = now(), self._count
        measure(self, *arguments, **keywords)
        if self._count > before:
            records.append(since(begin))

    CollapseMonitorHook.after_train_iter = timed
    with tempfile.TemporaryDirectory() as cfg.work_dir:
        runner = Runner.from_cfg(cfg)
        stop = Stop(args.steps)
        runner.register_hook(stop)
        try:
            runner.train()
        except KeyboardInterrupt:
            pass
    # The first picture imports what draws it.
    kinds = dict(step=stop.times[1:], record=records[::2], picture=records[3::2])
    seconds = {
        kind: [statistics.median(column) for column in zip(*times)] for kind, times in kinds.items()
    }
    print(f'{args.config}: seconds of processor time (clock)')
    for kind, label in (
        ('step', 'a step'),
        ('record', 'a record'),
        ('picture', 'a record with a picture'),
    ):
        print(f'  {label:24} {seconds[kind][0]:.4f} ({seconds[kind][1]:.4f})')
    shares = []
    for step, record, picture in zip(*seconds.values()):
        drawn = (picture - record) / own['figure_interval'] if own['figure_interval'] else 0.0
        shares.append((record + drawn) / (own['interval'] * step))
    print(
        f'  share at interval {own["interval"]}, a picture each {own["figure_interval"]}: '
        f'{shares[0]:.2%} ({shares[1]:.2%})'
    )


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', nargs='?', default=CONFIG, help='a config on embedded data')
    parser.add_argument('--steps', type=int, default=60)
    parser.add_argument('--every', type=int, default=10, help='steps between records')
    return parser.parse_args()


if __name__ == '__main__':
    main()

"""Time a training from a folder of JPEG files to weights, and how long the device waits for data.

python tools/benchmark/end_to_end.py [--arch vit-ti/16] [--compare] [--json FILE]

Writes photo-like JPEG files of several sizes to a temporary folder (or takes
those of --data-root), and trains configs/pmsn/pmsn_vit-s16_folder.py on it by
MMEngine's Runner for a few steps. With --compare runs with the plain step
(views by Pillow; float32, a pass for each size of views, MMEngine's own hook
that reads every term in every iteration) and with the fast one alternate in one process.
--plain-options and --fast-options set keys of the config, as --cfg-options of
tools/train.py does.

Waiting is the time from the end of a step to the start of the next: on a GPU
by events in its queue, so that a host that is ahead makes no waiting. Batches
that workers have ready when the first step ends are no sign of how fast they
are: steps are timed when these are used up.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

# Before torch is loaded: threads that wait actively slow each other down on a busy machine.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')


import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image
from step_common import environment, median, ratio_of_pairs

from mmssl_prior.cli.boundary import run_guarded
from mmssl_prior.config import apply_overrides, parse_overrides
from mmssl_prior.errors import UserError
from mmssl_prior.models import MSNViT

CONFIG = Path(__file__).parents[2] / 'configs/pmsn/pmsn_vit-s16_folder.py'
SIZES = ((500, 375), (800, 600), (640, 480), (480, 640), (1024, 683))
WARMUP = 2  # steps in which workers start and kernels are chosen
AHEAD = 2  # batches that a worker prepares in advance
DISTINCT = 2048  # files that are written; more are links to them


class Clock(Hook):
    """When steps start and end, on the device."""

    priority = 'LOWEST'

    def __init__(self, device, untimed):
        self.on_gpu, self.untimed = device == 'cuda', untimed
        self.starts, self.ends = [], []

    def _now(self):
        if not self.on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.starts.append(self._now())

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.ends.append(self._now())

    def result(self, batch):
        """Images per second, and the share of waiting, of the steps behind the first ones."""
        if self.on_gpu:
            torch.cuda.synchronize()

        def seconds(a, b):
            return a.elapsed_time(b) / 1000 if self.on_gpu else b - a

        # From the end of a step on, so that waiting for the next one's data is in it.
        first = self.untimed - 1
        total = seconds(self.ends[first], self.ends[-1])
        pairs = zip(self.ends[first:], self.starts[self.untimed :])
        waiting = sum(seconds(end, start) for end, start in pairs)
        steps = len(self.ends) - self.untimed
        return dict(
            images_per_s=batch * steps / total,
            seconds_per_step=total / steps,
            waiting=waiting / total,
        )


def main(argv=None) -> int:
    args = parse_args(argv)
    return run_guarded(lambda: measure(args), lambda: 'interrupted: nothing was measured')


def measure(args) -> dict:
    if args.device == 'cuda' and not torch.cuda.is_available():
        raise UserError('--device cuda: no GPU is visible')
    if args.steps < 2:
        raise UserError(f'--steps must be at least 2, got {args.steps}')
    if args.threads:
        torch.set_num_threads(args.threads)
    report = dict(
        environment(args.device),
        arch=args.arch,
        batch_size=args.batch_size,
        workers=args.workers,
        dtype=args.dtype,
    )
    print(', '.join(f'{key} {value}' for key, value in report.items()))
    kinds = ['plain', 'fast'] if args.compare else ['fast']
    runs = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        root = args.data_root or write_images(Path(folder, 'images'), args)
        for i in range(args.repeat):
            for kind in kinds:
                work = Path(folder, f'{kind}{i}')
                runs[kind].append(train(args, kind, root, work))
                row = runs[kind][-1]
                print(
                    f'{kind:6} {row["images_per_s"]:8.2f} images/s, {row["seconds_per_step"]:.3f} '
                    f's a step, waiting for data {100 * row["waiting"]:.1f}% of the time',
                    flush=True,
                )
    for kind in kinds:
        report[kind] = {key: median([run[key] for run in runs[kind]]) for key in runs[kind][0]}
        report[kind]['runs'] = runs[kind]
        print(
            f'median of {kind}: {report[kind]["images_per_s"]:.2f} images/s, waiting '
            f'{100 * report[kind]["waiting"]:.1f}%'
        )
    if args.compare:
        speeds = [[run['images_per_s'] for run in runs[kind]] for kind in ('fast', 'plain')]
        report['ratio'] = ratio_of_pairs(*speeds)
        print(f'from JPEG to weights, fast is {report["ratio"]:.2f} times as fast as plain')
    if args.json:
        with open(args.json, 'w') as file:
            json.dump(report, file, indent=1)
    return report


def train(args, kind, root, work) -> dict:
    clock = Clock(args.device, untimed_steps(args))
    with quiet():
        runner = Runner.from_cfg(config(args, kind, root, work))
        if kind == 'plain':
            for trunk in (runner.model.backbone, runner.model.target_backbone):
                trunk.blocks_as_modules = True
        runner.register_hook(clock)
        runner.train()
    return clock.result(args.batch_size)


def config(args, kind, root, work) -> Config:
    cfg = Config.fromfile(CONFIG)
    with torch.device('meta'):
        width = MSNViT(args.arch).embed_dims
    cfg.work_dir, cfg.log_level = str(work), 'ERROR'
    cfg.experiment_name = f'{kind}_{work.name}_{time.time_ns()}'
    # The arch names the size of its patches.
    cfg.model.backbone.pop('patch_size', None)
    cfg.model.backbone.arch = args.arch
    cfg.model.neck.in_channels = width
    cfg.model.packed = kind == 'fast'
    cfg.train_dataloader.update(
        batch_size=args.batch_size,
        num_workers=args.workers,
        persistent_workers=False,
    )
    cfg.train_dataloader.dataset.data_root = str(root)
    for transform in cfg.train_dataloader.dataset.pipeline:
        if 'backend' in transform and 'num_views' in transform:
            transform.backend = views_by(args, kind)
        if kind == 'plain' and 'defer' in transform:
            transform.defer = False
    cfg.train_cfg.update(max_epochs=1)
    # What it measures before training would be measured, too.
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook['type'] != 'DataSummaryHook']
    cfg.default_hooks.checkpoint.update(interval=1, save_last=False)
    if kind == 'plain':
        cfg.default_hooks.runtime_info = dict(type='RuntimeInfoHook')
        cfg.optim_wrapper.optimizer.fused = False
    else:
        cfg.optim_wrapper.dtype = None if args.dtype == 'float32' else args.dtype
        if args.compile:
            cfg.custom_hooks.append(dict(type='SpeedHook', compile=True))
    if args.device == 'cpu' and torch.cuda.is_available():
        raise UserError('--device cpu: hide the GPU with CUDA_VISIBLE_DEVICES= for the Runner')
    options = args.plain_options if kind == 'plain' else args.fast_options
    if options:
        apply_overrides(cfg, parse_overrides(options))
    return cfg


def untimed_steps(args) -> int:
    return WARMUP + AHEAD * args.workers


def views_by(args, kind) -> str:
    """What makes the views: pillow, opencv or device."""
    if kind == 'plain':
        return 'pillow'
    return args.views or ('device' if args.device == 'cuda' else 'opencv')


def write_images(root: Path, args) -> Path:
    """JPEG files that compress like photographs: smooth shapes, edges and grain."""
    root.mkdir()
    generator = np.random.default_rng(0)
    number = args.batch_size * (untimed_steps(args) + args.steps)
    for i in range(DISTINCT, number):
        os.symlink(f'{i % DISTINCT:05}.jpg', root / f'{i:05}.jpg')
    for i in range(min(number, DISTINCT)):
        width, height = SIZES[i % len(SIZES)]
        coarse = generator.integers(0, 256, (7, 9, 3), dtype=np.uint8)
        image = np.asarray(
            Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        )
        grain = generator.integers(-12, 13, (height, width, 1), dtype=np.int16)
        image = np.clip(image.astype(np.int16) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(image).save(root / f'{i:05}.jpg', quality=90)
    return root


@contextlib.contextmanager
def quiet():
    """Without what the Runner prints of its environment."""
    with open(os.devnull, 'w') as null, contextlib.redirect_stdout(null):
        yield


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--arch', default='vit-ti/16')
    parser.add_argument('--batch-size', type=int, default=4)
    parser.add_argument('--steps', type=int, default=6, help='that are timed, of each run')
    parser.add_argument('--workers', type=int, default=1)
    parser.add_argument('--dtype', default='bfloat16', choices=['bfloat16', 'float32'])
    parser.add_argument('--compile', action='store_true', help='torch.compile of the blocks')
    parser.add_argument('--compare', action='store_true', help='beside the plain step')
    parser.add_argument('--repeat', type=int, default=2, help='runs of each kind')
    parser.add_argument('--data-root', help='folder of images to take instead')
    parser.add_argument('--views', choices=['opencv', 'pillow', 'device'], help='of the fast run')
    parser.add_argument('--plain-options', nargs='+', metavar='KEY=VALUE')
    parser.add_argument('--fast-options', nargs='+', metavar='KEY=VALUE')
    parser.add_argument('--threads', type=int, default=0, help='0 leaves torch its own number')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--json', help='file for all numbers')
    return parser.parse_args(argv)


if __name__ == '__main__':
    sys.exit(main())

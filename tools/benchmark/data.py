"""Time a training's data path on JPEG files that it makes: from the file to views.

python tools/benchmark/data.py [--config CONFIG] [--sizes 500x375 800x600] [--workers N]

Without a config the pipeline is that of MSN: 2 views of 224 px and 10 of
96 px. Each backend of SeededMultiView makes the same views, one after the
other in turn (A B C A B C ...), so that what else the machine does falls on
all alike; medians over the rounds.

First table: one process, milliseconds of processor time for each image and
how many times as many images a second that is as the reference, pillow
(median of the ratios within a round). For 'device' it is what the host does;
what the device does is in its own column, measured on a CUDA device if there
is one. Collating is part of it. Second table: images a second, wall time, of a
DataLoader, from the second batch of each worker on: the first ones are made
all at once before anything is fetched.
"""

import argparse
import copy
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS, TRANSFORMS
from PIL import Image

from mmssl_prior.datasets import EpochIndex

VIEWS = Path(__file__).resolve().parents[2] / 'configs/_base_/datasets/inat18_msn.py'
SIZES = ('500x375', '800x600', '1600x1200', '4000x3000')
REFERENCE = 'pillow'


def photo(width, height, seed):
    """Noise with the 1/f spectrum of photographs, and some shapes with edges."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    falloff = 1 / np.maximum(frequency, 1 / max(width, height))
    layers = rng.normal(size=(4, height, width)).astype(np.float32)
    channels = []
    for layer in layers[:3]:  # channels of a photograph are alike, but not the same
        spectrum = np.fft.rfft2(layers[3] + 0.5 * layer) * falloff
        values = np.fft.irfft2(spectrum, s=(height, width))
        channels.append(128 + 45 * (values - values.mean()) / values.std())
    image = np.clip(np.stack(channels, -1), 0, 255).astype(np.uint8)
    for _ in range(12):
        center = tuple(int(v) for v in rng.integers((width, height)))
        color = tuple(int(v) for v in rng.integers(256, size=3))
        cv2.circle(image, center, int(rng.integers(8, height // 5)), color, -1, cv2.LINE_AA)
    return image


def write_images(folder, size, number, quality):
    """Paths of that many JPEG files of a size."""
    width, height = (int(side) for side in size.split('x'))
    paths = []
    for seed in range(number):
        paths.append(str(folder / f'{size}_{seed}.jpg'))
        Image.fromarray(photo(width, height, seed)).save(paths[-1], quality=quality)
    return paths


class Pipeline:
    """A dataset: files, repeated, and a pipeline with one backend."""

    def __init__(self, steps, backend, paths, length=0):
        steps = copy.deepcopy(steps)
        for step in steps:
            if step['type'] == 'SeededMultiView':
                step['backend'] = backend
            elif step['type'] == 'LoadImage':
                # The reference decodes everything, as it does without the backends.
                step['defer'] = backend != REFERENCE
        self.steps = [TRANSFORMS.build(step) for step in steps]
        self.paths, self.length = paths, length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        path = self.paths[index % len(self.paths)]
        results = dict(img_path=path, sample_idx=EpochIndex(index, seed=0, epoch=0))
        for step in self.steps:
            results = step(results)
        return results


def one_process(pipelines, rounds, images):
    """Seconds of processor time for an image, by backend, one number for each round."""
    times = {backend: [] for backend in pipelines}
    for pipeline in pipelines.values():
        pipeline[0]
    for k in range(rounds):
        for backend, pipeline in pipelines.items():
            begin = time.process_time()
            default_collate([pipeline[index] for index in range(k * images, (k + 1) * images)])
            times[backend].append((time.process_time() - begin) / images)
    return times


def on_device(pipeline, batch_size, rounds, device):
    """Seconds that the device takes to make the views of an image."""
    preprocessor = dict(
        type='MultiViewDataPreprocessor', mean=[124, 116, 104], std=[58, 57, 57], to_rgb=True
    )
    preprocessor = MODELS.build(preprocessor).to(device)
    batch = default_collate([pipeline[index] for index in range(batch_size)])
    batch = preprocessor.cast_data(dict(inputs=batch['inputs']))
    times = []
    for _ in range(rounds + 1):
        _wait(device)
        begin = time.perf_counter()
        preprocessor(batch, True)
        _wait(device)
        times.append((time.perf_counter() - begin) / batch_size)
    return statistics.median(times[1:])


def _wait(device):
    if device == 'cuda':
        torch.cuda.synchronize()


def whole_machine(steps, backends, paths, args):
    """Images a second of a DataLoader, by backend, one number for each round."""
    length = args.batch_size * args.batches * args.workers
    speeds = {backend: [] for backend in backends}
    for _ in range(args.rounds):
        for backend in backends:
            loader = torch.utils.data.DataLoader(
                Pipeline(steps, backend, paths, length),
                batch_size=args.batch_size,
                num_workers=args.workers,
                collate_fn=default_collate,
                pin_memory=torch.cuda.is_available(),
            )
            batches = iter(loader)
            for _ in range(args.workers):
                next(batches)
            begin = time.perf_counter()
            timed = args.batch_size * sum(1 for _ in batches)
            speeds[backend].append(timed / (time.perf_counter() - begin))
    return speeds


def measure(steps, size, paths, args):
    """A row of each table."""
    pipelines = {backend: Pipeline(steps, backend, paths) for backend in args.backends}
    times = one_process(pipelines, args.rounds, args.images)
    row = dict(size=size, bytes=int(np.mean([os.path.getsize(path) for path in paths])))
    for backend, values in times.items():
        row[f'{backend}_ms'] = 1000 * statistics.median(values)
        if REFERENCE in times:
            ratios = [one / other for one, other in zip(times[REFERENCE], values)]
            row[f'{backend}_ratio'] = statistics.median(ratios)
    if 'device' in pipelines and args.device:
        seconds = on_device(pipelines['device'], args.batch_size, args.rounds, args.device)
        row['on_device_ms'] = 1000 * seconds
    if args.workers:
        for backend, values in whole_machine(steps, args.backends, paths, args).items():
            row[f'{backend}_loader'] = statistics.median(values)
    return row


def main(argv=None):
    args = parse_args(argv)
    init_default_scope('mmpretrain')
    # As in a worker.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    cfg = Config.fromfile(args.config or VIEWS)
    steps = cfg.train_dataloader.dataset.pipeline
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in args.sizes:
            paths = write_images(Path(folder), size, args.files, args.quality)
            rows.append(measure(steps, size, paths, args))
            if not args.json:
                report(rows[-1], args, first=len(rows) == 1)
    if args.json:
        print(json.dumps(dict(machine=machine(), rows=rows), indent=1))
    return rows


def machine():
    """What was measured on."""
    name = platform.processor() or platform.machine()
    if Path('/proc/cpuinfo').exists():
        lines = Path('/proc/cpuinfo').read_text().splitlines()
        name = next((x.split(': ')[1] for x in lines if x.startswith('model name')), name)
    card = f', {torch.cuda.get_device_name()}' if torch.cuda.is_available() else ''
    return f'{name}, {os.cpu_count()} cores{card}; torch {torch.__version__}, cv2 {cv2.__version__}'


def report(row, args, first):
    """Print a row, and before the first the heading."""
    if first:
        print(f'{machine()}; {time.strftime("%Y-%m-%d")}')
        heading = [f'{"size":>10} {"kB":>6}']
        heading += [f'{backend + " ms":>11} {"ratio":>6}' for backend in args.backends]
        heading += ['on device ms'] if args.device else []
        heading += [f'{backend + " img/s":>13}' for backend in args.backends if args.workers]
        print(' '.join(heading))
    cells = [f'{row["size"]:>10} {row["bytes"] / 1000:6.0f}']
    for backend in args.backends:
        ratio = row.get(f'{backend}_ratio')
        ratio = '' if ratio is None else f'{ratio:.2f}'
        cells.append(f'{row[f"{backend}_ms"]:11.2f} {ratio:>6}')
    if args.device:
        cells.append(f'{row.get("on_device_ms", float("nan")):12.3f}')
    cells += [f'{row[f"{backend}_loader"]:13.1f}' for backend in args.backends if args.workers]
    print(' '.join(cells), flush=True)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--config', help='whose training pipeline to time; MSN views by default')
    parser.add_argument('--sizes', nargs='+', default=SIZES, help='WIDTHxHEIGHT of the files')
    parser.add_argument('--files', type=int, default=4, help='number of files of a size')
    parser.add_argument('--quality', type=int, default=90, help='of the JPEG files')
    parser.add_argument('--images', type=int, default=12, help='images of a round, one process')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--backends', nargs='+', default=['pillow', 'opencv', 'device'])
    parser.add_argument(
        '--workers', type=int, default=os.cpu_count() or 1, help='of the DataLoader; 0 for none'
    )
    parser.add_argument('--batch-size', type=int, default=16)
    parser.add_argument('--batches', type=int, default=4, help='of each worker, one not timed')
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else '',
        help="where 'device' makes its views: cuda, cpu, or empty for not at all",
    )
    parser.add_argument('--json', action='store_true', help='print numbers for programs')
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()

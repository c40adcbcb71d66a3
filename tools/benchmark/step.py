"""Time the training step of MSN: forward, backward, optimizer and moving average.

python tools/benchmark/step.py [vit-s/16 | CONFIG] [--compare] [--dtype bfloat16] [--json FILE]

With --compare a plain step (float32, a pass for each size of views, AdamW,
clipping and average one parameter after the other, every term read in every
step) and the fast one alternate in one process, and the median of the ratios
of pairs is printed. FLOPs are those of the model (the products of its matrices, a
backward pass counted as two forward ones), whatever is recomputed or left out.
"""

import argparse
import json
import os
import sys

# Before torch is loaded: threads that wait actively slow each other down on a busy machine.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')


import torch
from step_common import (
    PHASES,
    Step,
    counted_flops,
    environment,
    matmul_peak,
    median,
    peak_memory,
    ratio_of_pairs,
    read,
    step_flops,
)

from mmssl_prior.cli.boundary import run_guarded
from mmssl_prior.errors import UserError
from mmssl_prior.models import MSNViT


def main(argv=None) -> int:
    args = parse_args(argv)
    return run_guarded(lambda: measure(args), lambda: 'interrupted: nothing was measured')


def measure(args) -> dict:
    if args.device == 'cuda' and not torch.cuda.is_available():
        raise UserError('--device cuda: no GPU is visible')
    if args.threads:
        torch.set_num_threads(args.threads)
    sizes = 2 * [args.large] + (args.views - 2) * [args.focal]
    cfg, sizes, wrapper = read(args.model, args.prototypes, sizes)
    if args.with_cp:
        cfg['backbone']['with_cp'] = True
    if args.micro_batch:
        cfg['micro_batch'] = args.micro_batch
    report = dict(
        environment(args.device),
        model=args.model,
        batch_size=args.batch_size,
        views=sizes,
        dtype=args.dtype,
        compile=args.compile,
    )
    print(f'{report["device"]}, {report["threads"]} threads, torch {report["torch"]}, ', end='')
    print(f'{report["date"]}: {args.model}, batch {args.batch_size}, {len(sizes)} views')
    kinds = ['plain', 'fast'] if args.compare else ['plain' if args.plain else 'fast']
    steps = {
        kind: Step(
            cfg,
            wrapper,
            sizes,
            args.batch_size,
            args.device,
            plain=kind == 'plain',
            dtype=args.dtype,
            compile=args.compile,
        )
        for kind in kinds
    }
    for kind, step in steps.items():
        progress(args, f'{kind}: first steps')
        for _ in range(args.warmup):
            step.whole()
    times = {kind: [] for kind in kinds}
    processor = {kind: [] for kind in kinds}
    for i in range(args.repeat):
        for kind, step in steps.items():
            progress(args, f'{kind}: step {i + 1} of {args.repeat}')
            times[kind].append(step.whole())
            processor[kind].append(step.processor_seconds)
    for kind, step in steps.items():
        progress(args, f'{kind}: phases and memory')
        dtype = 'float32' if kind == 'plain' else args.dtype
        parts = [step.apart() for _ in range(max(1, args.repeat // 2))]
        seconds = median(times[kind])
        result = dict(
            seconds=seconds,
            all_seconds=times[kind],
            processor_seconds=median(processor[kind]),
            images_per_s=args.batch_size / seconds,
            phases={name: median([part[name] for part in parts]) for name in PHASES},
            peak_memory_mib=peak_memory(args.device, step.whole),
            dtype=dtype,
        )
        if isinstance(step.model.backbone, MSNViT) and not hasattr(
            step.model.backbone.patch_embed, 'convs'
        ):
            flops = step_flops(step.model, sizes)
            peak = matmul_peak(args.device, dtype)
            rate = flops * args.batch_size / seconds / 1e12
            result.update(
                gflops_per_image=flops / 1e9,
                tflops_per_s=rate,
                matmul_peak_tflops_per_s=peak,
                share_of_peak=rate / peak,
            )
            if args.count and kind == kinds[0]:
                progress(args, 'counting FLOPs')
                result['counted_gflops_per_image'] = counted_flops(step) / 1e9
        report[kind] = result
    progress(args, '')
    table(report, kinds)
    if args.compare:
        report['ratio'] = ratio_of_pairs(times['plain'], times['fast'])
        report['processor_ratio'] = ratio_of_pairs(processor['plain'], processor['fast'])
        print(
            f'the fast step is {report["ratio"]:.2f} times as fast as the plain one '
            f'({report["processor_ratio"]:.2f} by processor time)'
        )
    if args.json:
        with open(args.json, 'w') as file:
            json.dump(report, file, indent=1)
    return report


def table(report, kinds) -> None:
    print(f'{"":6} images/s  seconds   ' + '  '.join(f'{phase:>9}' for phase in PHASES), end='')
    print('  peak MiB  TFLOP/s  of matmul peak')
    for kind in kinds:
        row = report[kind]
        phases = '  '.join(f'{row["phases"][phase]:9.4f}' for phase in PHASES)
        print(f'{kind:6} {row["images_per_s"]:8.2f}  {row["seconds"]:7.4f}   {phases}', end='')
        print(f'  {row["peak_memory_mib"]:8.0f}', end='')
        if 'share_of_peak' in row:
            print(f'  {row["tflops_per_s"]:7.3f}  {100 * row["share_of_peak"]:.0f}%', end='')
            print(f' of {row["matmul_peak_tflops_per_s"]:.2f} in {row["dtype"]}', end='')
        print()
        if 'counted_gflops_per_image' in row:
            print(
                f'       GFLOP an image: {row["gflops_per_image"]:.2f} by formula, '
                f'{row["counted_gflops_per_image"]:.2f} counted while it ran'
            )


def progress(args, text) -> None:
    if sys.stderr.isatty() and not args.quiet:
        print(f'\r\033[K{text}', end='', file=sys.stderr, flush=True)


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('model', nargs='?', default='vit-s/16', help='an arch, or a config of MSN')
    parser.add_argument('--batch-size', type=int, default=8)
    parser.add_argument('--views', type=int, default=12, help='target, large anchor, focal ones')
    parser.add_argument('--large', type=int, default=224, help='side of target and large anchor')
    parser.add_argument('--focal', type=int, default=96, help='side of the other anchors')
    parser.add_argument('--prototypes', type=int, default=1024)
    parser.add_argument('--dtype', default='bfloat16', choices=['bfloat16', 'float32'])
    parser.add_argument('--compile', action='store_true', help='torch.compile of the blocks')
    parser.add_argument('--with-cp', action='store_true', help='recompute blocks going backward')
    parser.add_argument('--micro-batch', type=int, default=0, help='images in the backbone at once')
    parser.add_argument('--compare', action='store_true', help='beside the plain step')
    parser.add_argument('--plain', action='store_true', help='the plain step alone')
    parser.add_argument('--count', action='store_true', help='check the FLOPs with a counter')
    parser.add_argument('--repeat', type=int, default=3, help='steps of each kind')
    parser.add_argument('--warmup', type=int, default=1)
    parser.add_argument('--threads', type=int, default=0, help='0 leaves torch its own number')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--json', help='file for all numbers')
    parser.add_argument('--quiet', action='store_true', help='no progress')
    return parser.parse_args(argv)


if __name__ == '__main__':
    sys.exit(main())

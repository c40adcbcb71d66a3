"""All rows of docs/benchmarks.md that need a GPU, in one command: some minutes on one H200.

python tools/benchmark/gpu_rows.py [--json FOLDER]

ViT-B/16 and ViT-S/16 with 12 views in bfloat16, eager and compiled, the plain
step beside the fast one, a training from JPEG files with ViT-B/16, and what
making the views costs host and device. Compiled rows need a C compiler. Prints
each as the tools do, then a table of what was asked for and what was reached.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import data
import end_to_end
import step
import torch

from mmssl_prior.cli.boundary import run_guarded
from mmssl_prior.errors import UserError


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', default='work_dirs/benchmarks', help='folder for all numbers')
    parser.add_argument('--workers', type=int, default=os.cpu_count() or 1)
    parser.add_argument('--fast-options', nargs='+', metavar='KEY=VALUE', help='of end_to_end.py')
    args = parser.parse_args(argv)
    return run_guarded(lambda: rows(args), lambda: 'interrupted')


def rows(args) -> None:
    if not torch.cuda.is_available():
        raise UserError('these rows need a GPU, and none is visible')
    folder = Path(args.json)
    folder.mkdir(parents=True, exist_ok=True)

    def run(name, tool, *options):
        path = folder / f'{name}.json'
        path.unlink(missing_ok=True)
        print(f'\n{name}')
        if tool.main([*options, '--device', 'cuda', '--json', str(path)]):
            return None
        return json.loads(path.read_text())

    common = ['--repeat', '10', '--warmup', '5']
    base = run('ViT-B16', step, 'vit-b/16', '--batch-size', '256', *common)
    base_compiled = run(
        'ViT-B16 compiled', step, 'vit-b/16', '--batch-size', '256', '--compile', *common
    )
    small = run('ViT-S16', step, 'vit-s/16', '--batch-size', '512', *common)
    small_compiled = run(
        'ViT-S16 compiled', step, 'vit-s/16', '--batch-size', '512', '--compile', *common
    )
    run('ViT-S16 beside plain', step, 'vit-s/16', '--batch-size', '64', '--compare', *common)
    options = ['--arch', 'vit-b/16', '--batch-size', '128', '--steps', '40', '--repeat', '2']
    options += ['--workers', str(args.workers)]
    if args.fast_options:
        options += ['--fast-options', *args.fast_options]
    trained = run('JPEG to weights', end_to_end, *options)
    print('\nviews')
    views = ['--sizes', '500x375', '800x600', '--rounds', '3', '--workers', str(args.workers)]
    run_guarded(lambda: data.main(views), lambda: 'interrupted')

    print('\nwhat                                            asked for   reached')
    for name, asked, reports in (
        ('ViT-B/16, 12 views, bf16, images/s', 800, (base, base_compiled)),
        ('ViT-S/16, 12 views, bf16, images/s', 2500, (small, small_compiled)),
    ):
        reached = max((r['fast']['images_per_s'] for r in reports if r), default=float('nan'))
        print(f'{name:46}  {asked:>9}  {reached:8.0f}')
    if trained:
        waiting = f'{100 * trained["fast"]["waiting"]:.1f}%'
        print(f'{"ViT-B/16 from JPEG, waiting for data":46}      < 10%  {waiting:>8}')


if __name__ == '__main__':
    sys.exit(main())

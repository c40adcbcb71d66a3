"""What a training step costs with more images, prototypes, views and ranks.

python tools/benchmark/scale.py [vit-ti/16] [--plot FILE] [--json FILE]

Prints a table for each and draws them: seconds and memory of a step against
batch size, of the head alone against the number of prototypes (1k to 64k), of
a step against views, and what a rank sends in collectives, with seconds, of
the head on 1, 2 and 4 ranks (gloo, on the CPU of this machine).
"""

import argparse
import json
import os
import sys
import tempfile
import time

# Before torch is loaded: threads that wait actively slow each other down on a busy machine.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')


import torch
from step_common import Step, environment, median, msn_config, peak_memory, read, synchronize

from mmssl_prior.cli.boundary import run_guarded
from mmssl_prior.cli.distributed import leave
from mmssl_prior.errors import UserError
from mmssl_prior.models import PMSNHead


def main(argv=None) -> int:
    args = parse_args(argv)
    return run_guarded(lambda: measure(args), lambda: 'interrupted: nothing was written')


def measure(args) -> dict:
    if args.device == 'cuda' and not torch.cuda.is_available():
        raise UserError('--device cuda: no GPU is visible')
    if args.threads:
        torch.set_num_threads(args.threads)
    report = dict(environment(args.device), model=args.model, dtype=args.dtype)
    print(', '.join(f'{value}' for value in report.values()))
    base = args.batch_sizes[0]
    report['batch size'] = [
        dict(size=size, **step_cost(args, size, args.views[-1])) for size in args.batch_sizes
    ]
    show('batch size', report['batch size'])
    report['views'] = [dict(size=views, **step_cost(args, base, views)) for views in args.views]
    show('views', report['views'])
    report['prototypes'] = [dict(size=k, **head_cost(args, k)) for k in args.prototypes]
    show('prototypes', report['prototypes'])
    report['ranks'] = [dict(size=ranks, **rank_cost(args, ranks)) for ranks in args.ranks]
    show('ranks', report['ranks'])
    if args.plot:
        plot(report, args.plot)
        print(f'drawn in {args.plot}')
    if args.json:
        with open(args.json, 'w') as file:
            json.dump(report, file, indent=1)
    return report


def step_cost(args, batch, views) -> dict:
    progress(args, f'batch {batch}, {views} views')
    sizes = 2 * [args.large] + (views - 2) * [args.focal]
    cfg, sizes, wrapper = read(args.model, 1024, sizes)
    step = Step(cfg, wrapper, sizes, batch, args.device, plain=False, dtype=args.dtype)
    step.whole()
    seconds = median([step.whole() for _ in range(args.repeat)])
    return dict(
        seconds=seconds, images_per_s=batch / seconds, peak_mib=peak_memory(args.device, step.whole)
    )


def head_cost(args, prototypes) -> dict:
    """The head on embeddings of 11 anchors, forward and backward."""
    progress(args, f'{prototypes} prototypes')
    work = head_work(prototypes, args.head_batch, args.device)
    work()
    seconds = []
    for _ in range(args.repeat):
        synchronize(args.device)
        start = time.perf_counter()
        work()
        synchronize(args.device)
        seconds.append(time.perf_counter() - start)
    return dict(seconds=median(seconds), peak_mib=peak_memory(args.device, work))


def head_work(prototypes, batch, device):
    torch.manual_seed(0)
    cfg = msn_config('vit-ti/16', prototypes)['head']
    head = PMSNHead(**{k: v for k, v in cfg.items() if k != 'type'}).to(device)
    anchors = torch.randn(11, batch, 256, device=device, requires_grad=True)
    target = torch.randn(batch, 256, device=device)

    def work():
        losses = head.loss(anchors, target)
        (losses['loss_ce'] + losses['loss_prior']).backward()
        head.zero_grad()
        anchors.grad = None

    return work


def rank_cost(args, ranks) -> dict:
    """The head on several processes: seconds of a step, collectives and bytes that a rank sends."""
    progress(args, f'{ranks} ranks')
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(
            on_rank, (ranks, folder, args.prototypes[0], args.repeat), nprocs=ranks
        )
        with open(os.path.join(folder, 'cost.json')) as file:
            return json.load(file)


def on_rank(rank, ranks, folder, prototypes, repeat) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=ranks
    )
    work, sent = head_work(prototypes, 8, 'cpu'), []
    work()
    originals = torch.distributed.all_reduce, torch.distributed.all_gather

    def all_reduce(x, *rest, **kwargs):
        sent.append(x.numel() * x.element_size())
        return originals[0](x, *rest, **kwargs)

    def all_gather(parts, x, *rest, **kwargs):
        sent.append(x.numel() * x.element_size())
        return originals[1](parts, x, *rest, **kwargs)

    torch.distributed.all_reduce, torch.distributed.all_gather = all_reduce, all_gather
    work()
    torch.distributed.all_reduce, torch.distributed.all_gather = originals
    seconds = []
    for _ in range(repeat):
        torch.distributed.barrier()
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    if rank == 0:
        with open(os.path.join(folder, 'cost.json'), 'w') as file:
            json.dump(
                dict(seconds=median(seconds), collectives=len(sent), kib_sent=sum(sent) / 1024),
                file,
            )
    leave(0)


def show(name, rows) -> None:
    columns = [key for key in rows[0] if key != 'size']
    print(f'\n{name:>12}' + ''.join(f'{column:>15}' for column in columns))
    for row in rows:
        print(f'{row["size"]:>12}' + ''.join(f'{row[column]:>15.4g}' for column in columns))


def plot(report, path) -> None:
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    names = ['batch size', 'views', 'prototypes', 'ranks']
    figure, axes = pyplot.subplots(1, len(names), figsize=(14, 3.2))
    for axis, name in zip(axes, names):
        rows = report[name]
        sizes = [row['size'] for row in rows]
        axis.plot(sizes, [row['seconds'] for row in rows], 'o-', color='tab:blue')
        axis.set(xlabel=name, ylim=(0, None))
        axis.set_ylabel('seconds', color='tab:blue')
        second = 'peak_mib' if 'peak_mib' in rows[0] else 'kib_sent'
        other = axis.twinx()
        other.plot(sizes, [row[second] for row in rows], 's--', color='tab:orange')
        other.set_ylabel(second.replace('_', ' '), color='tab:orange')
        other.set_ylim(0, None)
    figure.suptitle(f'{report["model"]} on {report["device"]}, {report["date"]}')
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def progress(args, text) -> None:
    if sys.stderr.isatty() and not args.quiet:
        print(f'\r\033[K{text}\r', end='', file=sys.stderr, flush=True)


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('model', nargs='?', default='vit-ti/16', help='an arch')
    parser.add_argument('--batch-sizes', type=int, nargs='+', default=[2, 4, 8])
    parser.add_argument('--views', type=int, nargs='+', default=[2, 7, 12])
    parser.add_argument(
        '--prototypes', type=int, nargs='+', default=[1024, 4096, 16384, 65536], help='of the head'
    )
    parser.add_argument('--head-batch', type=int, default=32, help='images of the head alone')
    parser.add_argument('--ranks', type=int, nargs='+', default=[1, 2, 4])
    parser.add_argument('--large', type=int, default=224)
    parser.add_argument('--focal', type=int, default=96)
    parser.add_argument('--dtype', default='bfloat16', choices=['bfloat16', 'float32'])
    parser.add_argument('--repeat', type=int, default=3)
    parser.add_argument('--threads', type=int, default=0, help='0 leaves torch its own number')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--plot', help='file for the picture')
    parser.add_argument('--json', help='file for all numbers')
    parser.add_argument('--quiet', action='store_true', help='no progress')
    return parser.parse_args(argv)


if __name__ == '__main__':
    sys.exit(main())

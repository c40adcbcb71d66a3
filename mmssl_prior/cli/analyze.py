"""The body of ``tools/analyze.py``: a report on what checkpoints clustered."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from mmssl_prior.cli.boundary import run_guarded
from mmssl_prior.config import load_config
from mmssl_prior.errors import UserError, printable
from mmssl_prior.evaluation.encoder_source import read_source
from mmssl_prior.insight import Settings, analyze, open_data
from mmssl_prior.insight.analyzed_data import SPLITS
from mmssl_prior.insight.plane import LAYOUTS

__all__ = ['main', 'parse_args']


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='See what checkpoints clustered: usage against the prior, cluster sizes, '
        'images of each prototype, neighbours, attention. Writes a page that opens from disk; the '
        'same command goes on where it stopped'
    )
    parser.add_argument(
        'checkpoint',
        nargs='+',
        help='checkpoint of this package or of MMPretrain; timm:NAME=FILE for weights of timm, '
        'timm:NAME for random ones. Several stand side by side',
    )
    parser.add_argument(
        '--data',
        required=True,
        metavar='CONFIG-OR-FOLDER',
        help='images: a folder, flat or nested, or a config, whose training images are taken',
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='folder to write')
    parser.add_argument(
        '--split', choices=SPLITS, default='train', help='of a config (default: train)'
    )
    parser.add_argument(
        '--labelled', action='store_true', help='the subfolders of a folder are classes'
    )
    parser.add_argument(
        '--images', type=int, metavar='N', help='a random sample of so many (default: all)'
    )
    parser.add_argument(
        '--clusters',
        type=int,
        nargs='+',
        metavar='K',
        help='numbers of clusters for k-means (default: 10, 30, 100 and the number of classes, as '
        'far as there are ten images for each)',
    )
    parser.add_argument(
        '--groups',
        type=int,
        nargs=2,
        metavar=('FEW', 'MANY'),
        help='tail classes have fewer images than FEW, head classes more than MANY (default: 20 '
        '100, or thirds of the classes where these do not part them)',
    )
    parser.add_argument(
        '--gallery', type=int, default=32, metavar='N', help='prototypes to show (default: 32)'
    )
    parser.add_argument(
        '--points', type=int, default=1500, metavar='N', help='images on the plane (default: 1500)'
    )
    parser.add_argument(
        '--layout',
        choices=LAYOUTS,
        default='auto',
        help='of the plane, beside PCA (default: auto, UMAP where umap-learn is installed, else '
        't-SNE)',
    )
    parser.add_argument('--config', metavar='FILE', help='for checkpoints that hold no config')
    parser.add_argument(
        '--image-size', type=int, metavar='PIXELS', help="default: the encoder's own, else 224"
    )
    parser.add_argument('--batch-size', type=int, default=64, help='default: 64')
    parser.add_argument('--workers', type=int, default=4, help='default: 4')
    parser.add_argument('--seed', type=int, default=0, help='of samples and layouts (default: 0)')
    args = parser.parse_args(argv)
    for name in ('batch_size', 'gallery', 'points', 'images', 'image_size'):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            parser.error(f'--{name.replace("_", "-")} must be at least 1')
    if not 0 <= args.seed < 2**31:
        parser.error('--seed must be from 0 to 2147483647')
    if args.workers < 0 or min(args.clusters or [1]) < 1:
        parser.error('--workers must be at least 0, --clusters at least 1')
    return args


def _say(text: str) -> None:
    print(text, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parse_args(argv)

    def body() -> None:
        init_default_scope('mmpretrain')
        out = Path(args.out)
        if out.exists() and not out.is_dir():
            raise UserError(f'--out {printable(out)} is not a folder')
        if not MMLogger.check_instance_created('analyze'):
            MMLogger.get_instance('analyze', log_level='INFO')
        config = load_config(args.config) if args.config else None
        sources = [read_source(spec, config) for spec in args.checkpoint]
        for source in sources:
            if not source.path:
                _say(f'{source.name}: random weights, no checkpoint was named')
        data = open_data(args.data, args.split, args.labelled, args.images, args.seed)
        settings = Settings(
            clusters=tuple(args.clusters) if args.clusters else None,
            groups=tuple(args.groups) if args.groups else None,
            gallery=args.gallery,
            points=args.points,
            layout=args.layout,
            seed=args.seed,
        )
        results = analyze(
            sources,
            data,
            out,
            settings,
            args.image_size,
            args.batch_size,
            args.workers,
            say=_say,
            progress=True,
        )
        for model in results['models']:
            _say(f'\n{model["name"]}')
            for remark in model['remarks']:
                _say(f'  {remark["text"]}')
        _say(f'\nwritten to {args.out}: report.html (open it in a browser), results.json, figures')

    return run_guarded(
        body, lambda: 'interrupted; the same command continues where this one stopped'
    )


if __name__ == '__main__':
    raise SystemExit(main())

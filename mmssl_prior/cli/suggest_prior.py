"""The body of ``tools/suggest_prior.py``: which prior fits class counts, labels or images."""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import Compose
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from mmssl_prior.cli.boundary import run_guarded
from mmssl_prior.config import load_config, parse_overrides
from mmssl_prior.datasets import dataset_labels
from mmssl_prior.errors import UserError, printable
from mmssl_prior.evaluation.encoder import build_encoder
from mmssl_prior.evaluation.encoder_source import read_source
from mmssl_prior.evaluation.feature_store import FeatureStore
from mmssl_prior.insight import (
    PixelEncoder,
    PriorFit,
    Suggestion,
    cluster_sizes,
    estimators,
    fit_prior,
    named_dataset,
    plot_class_counts,
    plot_cluster_sizes,
    principal_components,
    read_counts,
    steps_for,
    subsample,
    suggest_from_clusters,
    suggest_from_counts,
)

__all__ = ['main', 'parse_args']

PIXELS = 'pixels'
FEATURES, RESULT, PICTURE, COUNTS = 'features', 'prior.json', 'prior.png', 'class_counts.txt'


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Suggest a prior over prototypes, with how sure it is: from class counts, from '
        'the labels of a dataset, or from unlabelled images and an encoder'
    )
    modes = parser.add_subparsers(dest='mode', required=True)
    counts = modes.add_parser('counts', help='class counts: numbers, or a .txt, .csv or .json file')
    counts.add_argument('counts', nargs='+', help='a file, or one number for each class')
    labels = modes.add_parser('labels', help='the labels of a dataset')
    images = modes.add_parser('images', help='unlabelled images and any encoder')
    for mode in (labels, images):
        mode.add_argument(
            'data',
            help='a folder (labels: of one subfolder a class), a config, whose training data '
            'count, or the name of a dataset class',
        )
        mode.add_argument(
            '--data-options',
            nargs='+',
            action='extend',
            metavar='KEY=VALUE',
            help='arguments of the dataset, such as data_root=DIR',
        )
    images.add_argument(
        '--encoder',
        required=True,
        help='checkpoint of this package or of MMPretrain; timm:NAME=FILE for weights of timm, '
        'timm:NAME for random ones; pixels, as a last resort',
    )
    images.add_argument('--config', metavar='FILE', help='for a checkpoint that holds no config')
    images.add_argument(
        '--max-images', type=int, default=5000, help='a random part of more (default: 5000)'
    )
    images.add_argument(
        '--granularities',
        type=int,
        nargs='+',
        default=[10, 30, 100],
        metavar='N',
        help='numbers of clusters of k-means (default: 10 30 100)',
    )
    images.add_argument(
        '--components', type=int, default=50, help='of a mixture at most (default: 50)'
    )
    images.add_argument(
        '--halves',
        type=int,
        default=10,
        help='random halves of the images for the intervals (default: 10)',
    )
    images.add_argument('--batch-size', type=int, default=64, help='default: 64')
    images.add_argument('--workers', type=int, default=4, help='default: 4')
    for mode in (counts, labels, images):
        mode.add_argument(
            '--prototypes', type=int, default=1024, metavar='K', help='of the head (default: 1024)'
        )
        mode.add_argument('--seed', type=int, default=0, help='of simulations (default: 0)')
        mode.add_argument(
            '--out',
            default='work_dirs/prior',
            help=f'folder of {RESULT} and {PICTURE} (default: work_dirs/prior)',
        )
    args = parser.parse_args(argv)
    if args.prototypes < 2:
        parser.error('--prototypes must be at least 2')
    if not 0 <= args.seed < 2**31:
        parser.error('--seed must be from 0 to 2147483647')
    if args.mode == 'images':
        if args.max_images < 50:
            parser.error('--max-images must be at least 50')
        if args.halves < 2 or args.components < 2 or min(args.granularities) < 2:
            parser.error('--halves, --components and --granularities must be at least 2')
        if args.batch_size < 1 or args.workers < 0:
            parser.error('--batch-size must be at least 1 and --workers at least 0')
    return args


def _inline(texts: Sequence[str]) -> list[int]:
    """Counts on the command line, or of the file that it names."""
    if len(texts) == 1 and not texts[0].replace(',', '').isdecimal():
        return read_counts(texts[0])
    words = ' '.join(texts).replace(',', ' ').split()
    for place, word in enumerate(words):
        if not word.isdecimal():  # '²' is a digit
            raise UserError(
                f'class counts: entry {place} (counted from 0) is {printable(word)!r}: expected '
                'whole numbers, or one file (.txt, .csv, .json)'
            )
    return [int(word) for word in words]


def _label_counts(args: argparse.Namespace) -> np.ndarray:
    dataset = named_dataset(args.data, _options(args), labelled=True)
    counts = np.bincount(dataset_labels(dataset))
    classes = (dataset.metainfo or {}).get('classes') or ()
    # Classes that a dataset names and has no image of count as classes.
    return np.pad(counts, (0, max(len(classes) - len(counts), 0)))


def _options(args: argparse.Namespace) -> dict[str, Any]:
    for pair in args.data_options or ():
        if '=' not in pair:
            raise UserError(f'--data-options {pair}: expected KEY=VALUE')
    return parse_overrides(args.data_options)


def _from_counts(args: argparse.Namespace, counts: Sequence[int] | np.ndarray, out: Path) -> None:
    fit = fit_prior(counts, seed=args.seed)
    file = out / COUNTS
    file.write_text(''.join(f'{count}\n' for count in fit.counts if count))
    suggestion = suggest_from_counts(fit, args.prototypes, str(file))
    for line in _laws(fit):
        print(line)
    _finish(out, suggestion, dict(fit=_fit_json(fit)))
    plot_class_counts(out / PICTURE, fit, suggestion)


def _laws(fit: PriorFit) -> list[str]:
    counts, tau = fit.counts, fit.power_law
    seen = counts[counts > 0]
    lines = [
        f'{int(counts.sum())} images of {len(seen)} of {len(counts)} classes, from '
        f'{seen.min()} to {seen.max()} images',
        f'power law: exponent {tau.estimate:.3f}, {tau.level:.0%} interval {tau.low:.3f} to '
        f'{tau.high:.3f}, if the law is true',
        f'  (maximum likelihood {tau.raw:.3f}, before the bias of ranking by size is taken out)',
    ]
    for name, half in zip(('larger', 'smaller'), fit.halves):
        if math.isfinite(half.exponent):
            lines.append(
                f'  the {name} half of the classes alone: {half.exponent:.3f}; the law gives '
                f'{half.low:.3f} to {half.high:.3f}'
            )
    lines += ['', 'law          parameters       AIC       BIC  KL (nats)  explained  p-value']
    for law in fit.laws:
        p_value = '-' if law.p_value is None else f'{law.p_value:.3f}'
        lines.append(
            f'{law.law:<12} {law.parameters:>10} {law.aic:>9.1f} {law.bic:>9.1f} {law.kl:>10.4f} '
            f'{law.explained:>10.1%} {p_value:>8}'
        )
    return lines


def _fit_json(fit: PriorFit) -> dict[str, Any]:
    return dict(
        counts=fit.counts.tolist(),
        power_law=fit.power_law._asdict(),
        exponential=fit.exponential._asdict(),
        laws=[law._asdict() for law in fit.laws],
        halves=[half._asdict() for half in fit.halves],
    )


def _from_images(args: argparse.Namespace, out: Path) -> None:
    if not MMLogger.check_instance_created('suggest_prior'):
        MMLogger.get_instance('suggest_prior', log_level='INFO')
    whole = named_dataset(args.data, _options(args), labelled=False)
    whole.full_init()
    dataset = subsample(whole, args.max_images, args.seed)
    encoder, about_encoder = _encoder(args)
    dataset.pipeline = Compose(steps_for(dataset, encoder.size))
    part = f', a random part of {len(whole)}' if len(dataset) < len(whole) else ''
    print(f'features of {len(dataset)} images{part}, by {args.encoder}', flush=True)
    store = FeatureStore.open_or_extract(
        out / FEATURES,
        encoder.to(get_device()),
        dataset,
        ['features'],
        forward=lambda images: {'features': encoder(images)},
        dtype='float32',
        batch_size=args.batch_size,
        num_workers=args.workers,
        chunk=512,
        name='images',
    )
    features = store.features('features').features.numpy()
    if store.manifest['skipped']:
        print(f'{len(store.manifest["skipped"])} images cannot be decoded and are left out')
    rows = principal_components(features, normalise=args.encoder != PIXELS, seed=args.seed)
    estimates = []
    print('\nestimator               clusters  exponent  interval      stability', flush=True)
    for estimator in estimators(args.granularities, args.components):
        entry = cluster_sizes(rows, estimator, args.halves, seed=args.seed)
        estimates.append(entry)
        interval = f'{entry.low:.2f} to {entry.high:.2f}' if math.isfinite(entry.low) else '-'
        remarks = [entry.doubt and f'in doubt: {entry.doubt}', entry.note]
        remark = '; '.join(filter(None, ['prefers equal sizes' * entry.biased, *remarks]))
        print(
            f'{entry.estimator:<23} {entry.clusters:>8}  {_shown(entry.exponent):>8}  '
            f'{interval:<12}  {_shown(entry.stability):>9}  {remark}',
            flush=True,
        )
    suggestion = suggest_from_clusters(estimates, args.prototypes)
    suggestion.notes[:0] = about_encoder
    details: dict[str, Any] = dict(
        images=len(rows),
        of=len(whole),
        encoder=args.encoder,
        dimensions=rows.shape[1],
        estimates=[entry._asdict() | dict(sizes=entry.sizes.tolist()) for entry in estimates],
    )
    _finish(out, suggestion, details)
    plot_cluster_sizes(out / PICTURE, estimates)


def _shown(value: float) -> str:
    return f'{value:.2f}' if math.isfinite(value) else '-'


def _encoder(args: argparse.Namespace) -> tuple[Any, list[str]]:
    """The encoder, and what to say beside the suggestion."""
    if args.encoder == PIXELS:
        return PixelEncoder().eval(), []
    config = load_config(args.config) if args.config else None
    source = read_source(args.encoder, config)
    if not source.path:
        print(f'{args.encoder}: random weights, no checkpoint was named')
    random = 'the encoder has random weights, which know no classes: name a file of trained ones'
    return build_encoder(source), [] if source.path else [random]


def _finish(out: Path, suggestion: Suggestion, details: dict[str, Any]) -> None:
    if suggestion.assumptions:
        print('\nover prototypes, if a class takes')
    for name, exponent in suggestion.assumptions.items():
        print(f'  {name}: exponent {exponent:.2f}')
    print(f'\n{suggestion.verdict}\n')
    for note in suggestion.notes:
        print(f'note: {note}')
    print('\nfor the config, the first to begin with:\n')
    for line in suggestion.lines:
        print(line)
    content = dict(suggestion=suggestion.to_dict(), **details)
    text = json.dumps(_finite(content), indent=2)
    (out / RESULT).write_text(f'{text}\n', encoding='utf-8')
    print(f'\nwritten to {printable(out)}: {RESULT}, {PICTURE}')


def _finite(value: Any) -> Any:
    """JSON has no nan."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _folder(path: str) -> Path:
    out = Path(path).expanduser()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f'--out {printable(out)} is no folder to write to: {error.strerror}'
        ) from error
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parse_args(argv)

    def body() -> None:
        init_default_scope('mmpretrain')
        work: dict[str, Callable[[], Any]] = dict(
            counts=lambda: _inline(args.counts), labels=lambda: _label_counts(args)
        )
        if args.mode == 'images':
            _from_images(args, _folder(args.out))
        else:
            counts = work[args.mode]()
            _from_counts(args, counts, _folder(args.out))

    return run_guarded(
        body, lambda: 'interrupted; the same command goes on with the features that are there'
    )


if __name__ == '__main__':
    raise SystemExit(main())

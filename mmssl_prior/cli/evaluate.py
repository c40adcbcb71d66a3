"""The body of ``tools/evaluate.py``: downstream tasks of any checkpoints, in one table."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch.distributed as torch_dist
from mmengine import dist
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from mmssl_prior.cli.boundary import run_guarded
from mmssl_prior.cli.distributed import leave, prepare_distributed
from mmssl_prior.cli.options import parse_run_arguments
from mmssl_prior.cli.probe_by_config import probe_by_config
from mmssl_prior.config import load_config
from mmssl_prior.errors import UserError, printable
from mmssl_prior.evaluation.downstream import Present, evaluate, present_tasks
from mmssl_prior.evaluation.encoder_source import read_source
from mmssl_prior.evaluation.one_task import PROTOCOLS, Evaluation
from mmssl_prior.evaluation.report import markdown
from mmssl_prior.evaluation.task_scores import MEASURES, ScoreSettings
from mmssl_prior.evaluation.tasks import GROUPS, SEVEN, TASKS, select_tasks
from mmssl_prior.models.classifiers.trunk_features import parse_feature

__all__ = ['main', 'parse_args']


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Evaluate checkpoints on downstream tasks; the same command goes on where it '
        'stopped'
    )
    parser.add_argument(
        'checkpoint',
        nargs='+',
        help='checkpoint of this package or of MMPretrain; timm:NAME=FILE for weights of timm, '
        'timm:NAME for random ones. Several of one config give mean and range',
    )
    parser.add_argument(
        '--tasks',
        nargs='+',
        default=['all'],
        metavar='NAME',
        help=f'{", ".join([*GROUPS, *TASKS])} (default: all, the seven on public data)',
    )
    parser.add_argument(
        '--protocol',
        choices=list(PROTOCOLS),
        default='fast',
        help='fast: everything from stored features of a fixed crop; vissl: the linear probe by '
        "its config, with augmentation; msn: MSN's low-shot features and linear probe (default: "
        'fast)',
    )
    parser.add_argument(
        '--data-root', default='data', metavar='DIR', help='folder of the downloads (default: data)'
    )
    for flag, metavar, text in (
        ('--data', 'NAME=DIR', 'folder of the data of a task, where it lies elsewhere'),
        (
            '--low-shot-list',
            'NAME=FILE',
            'published lists of training images of a task; those of one kind (images per class, or '
            'share) give mean and standard deviation',
        ),
    ):
        parser.add_argument(
            flag, nargs='+', action='extend', default=[], metavar=metavar, help=text
        )
    parser.add_argument('--config', metavar='FILE', help='for checkpoints that hold no config')
    parser.add_argument(
        '--out',
        default='work_dirs/evaluation',
        metavar='DIR',
        help='folder of results.json and report.md (default: work_dirs/evaluation)',
    )
    parser.add_argument(
        '--image-size', type=int, metavar='PIXELS', help="default: the encoder's own, else 224"
    )
    parser.add_argument(
        '--groups',
        type=int,
        nargs=2,
        default=(20, 100),
        metavar=('FEW', 'MANY'),
        help='few-shot classes have fewer training images than FEW, many-shot ones more than MANY '
        '(default: 20 100)',
    )
    parser.add_argument(
        '--probe-features',
        nargs='+',
        default=[],
        metavar='FEATURE',
        help='more heads for the linear probe, with and without batch norm, on these features of '
        'the frozen encoder: cls4 or pool4 (its last four blocks), cls_raw, ...; scored beside '
        'the head of the table',
    )
    parser.add_argument(
        '--lr-multipliers',
        nargs='+',
        type=float,
        default=[],
        metavar='FACTOR',
        help="a copy of each head of the linear probe for each factor of the recipe's learning "
        'rate (0.1 0.3 3 10), in the same run; scored beside the head of the table',
    )
    parser.add_argument(
        '--measures',
        nargs='+',
        choices=MEASURES,
        default=list(MEASURES),
        help='what is measured (default: everything); spectrum is RankMe too, alignment is '
        'uniformity too',
    )
    parser.add_argument('--batch-size', type=int, default=64, help='on each rank (default: 64)')
    parser.add_argument('--workers', type=int, default=4, help='on each rank (default: 4)')
    parser.add_argument(
        '--keep-features', action='store_true', help='leave the features of finished tasks in --out'
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='launcher'
    )
    # torchrun and older launchers spell it differently.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parse_run_arguments(parser, argv)
    if args.batch_size < 1 or args.workers < 0 or (args.image_size or 1) < 1:
        parser.error('--batch-size and --image-size must be at least 1, --workers at least 0')
    if any(not 0 < factor < float('inf') for factor in args.lr_multipliers):
        parser.error('--lr-multipliers must be positive')
    few, many = args.groups
    if few > many + 1:
        parser.error(f'--groups {few} {many}: a class could be few-shot and many-shot at once')
    return args


def _by_task(items: Sequence[str], flag: str) -> dict[str, tuple[str, ...]]:
    named: dict[str, tuple[str, ...]] = {}
    for item in items:
        name, equals, value = item.partition('=')
        if name not in SEVEN or not equals or not value:
            raise UserError(
                f'{flag} {item}: expected NAME=PATH with one of the tasks {", ".join(SEVEN)}'
            )
        named[name] = (*named.get(name, ()), value)
    return named


def _roots(items: Sequence[str]) -> dict[str, str]:
    roots = {}
    for name, paths in _by_task(items, '--data').items():
        if len(paths) > 1:
            raise UserError(f'--data names {name} twice: one folder for each task')
        roots[name] = paths[0]
    return roots


def _settings(args: argparse.Namespace) -> Evaluation:
    out = Path(args.out)
    if out.exists() and not out.is_dir():
        raise UserError(f'--out {printable(out)} is not a folder')
    lists = _by_task(args.low_shot_list, '--low-shot-list')
    for name, files in lists.items():
        for file in files:
            if not Path(file).is_file():
                raise UserError(f'--low-shot-list {name}={printable(file)}: no such file')
    for feature in args.probe_features:
        parse_feature(feature)
    for flag, given, measure in (
        ('--low-shot-list', lists, 'low-shot'),
        ('--probe-features', args.probe_features, 'linear'),
        ('--lr-multipliers', args.lr_multipliers, 'linear'),
    ):
        if given and measure not in args.measures:
            raise UserError(f'{flag} is for {measure}, which is not among the --measures')
    return Evaluation(
        out=out,
        protocol=args.protocol,
        data_root=args.data_root,
        roots=_roots(args.data),
        lists=lists,
        probe_features=tuple(dict.fromkeys(args.probe_features)),
        # The recipe's own rate is the one of the table.
        lr_multipliers=tuple(dict.fromkeys([1.0, *args.lr_multipliers])),
        scores=ScoreSettings(
            groups=tuple(args.groups), measures=tuple(m for m in MEASURES if m in args.measures)
        ),
        image_size=args.image_size,
        batch_size=args.batch_size,
        workers=args.workers,
        keep_features=args.keep_features,
    )


def _present(names: Sequence[str], settings: Evaluation) -> Present:
    """The tasks to run; those that were named must have their data."""
    present = present_tasks(select_tasks(names), settings)
    for entry in present.skipped:
        if entry['task'] in names:
            raise UserError(
                f'{entry["task"]}: {entry["reason"]}; give its folder with --data '
                f'{entry["task"]}=DIR, or the folder of all data with --data-root'
            )
        _say(f'skipped {entry["task"]}: {entry["reason"]}')
    if present.tasks:
        return present
    _say('none of the seven tasks has its data: the embedded tasks run instead')
    return Present(select_tasks(['embedded']), present.skipped)


def _say(text: str) -> None:
    if dist.is_main_process():
        print(text, flush=True)


def _start(launcher: str) -> None:
    """Scope, logger and process group, as a Runner would set them up."""
    init_default_scope('mmpretrain')
    if launcher != 'none':
        prepare_distributed(Config(dict(launcher=launcher)))
        if not torch_dist.is_initialized():
            dist.init_dist(launcher, backend='nccl')
    if not MMLogger.check_instance_created('evaluate'):
        MMLogger.get_instance('evaluate', log_level='INFO')


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parse_args(argv)

    def body() -> None:
        settings = _settings(args)
        _start(args.launcher)
        config = load_config(args.config) if args.config else None
        sources = [read_source(spec, config) for spec in args.checkpoint]
        for source in sources:
            if not source.path:
                _say(f'{source.name}: random weights, no checkpoint was named')
        present = _present(args.tasks, settings)
        probe = probe_by_config(settings, args.launcher, _say)
        results = evaluate(sources, present, settings, probe, _say)
        _say(f'\n{markdown(results)}\nwritten to {settings.out}/results.json and report.md')
        if results['failed']:
            names = ', '.join(entry['task'] for entry in results['failed'])
            raise UserError(f'{len(results["failed"])} evaluations failed: {names}; see above')

    return leave(
        run_guarded(body, lambda: 'interrupted; the same command continues where this one stopped')
    )


if __name__ == '__main__':
    raise SystemExit(main())

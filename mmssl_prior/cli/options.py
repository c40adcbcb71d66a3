"""Arguments that the command lines share."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmssl_prior.cli.distributed import export_ranks
from mmssl_prior.config import apply_overrides, load_config, parse_overrides

__all__ = [
    'add_config_arguments',
    'add_run_arguments',
    'build_runner',
    'parse_run_arguments',
    'read_config',
    'read_run_config',
]


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the config file and ``--cfg-options``, as ``tools/train.py`` has them."""
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        metavar='KEY=VALUE',
        help='override keys of the config: model.head.temperature=0.2, custom_hooks.0.interval=5, '
        'key="[a,b]". The key must exist; a leading plus adds one: +model.head.temperature=0.2',
    )


def read_config(args: argparse.Namespace) -> Config:
    """The config with the overrides of the command line.

    Raises:
        UserError: If the file or an override is wrong.
    """
    cfg = load_config(args.config)
    apply_overrides(cfg, parse_overrides(args.cfg_options))
    return cfg


def add_run_arguments(parser: argparse.ArgumentParser, folder: str) -> None:
    """Adds what a run with a Runner takes besides: the work dir and the launcher.

    Args:
        parser: The parser of a command line.
        folder: The default of ``--work-dir``, in words.
    """
    parser.add_argument('--work-dir', help=f'folder of logs and results (default: {folder})')
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='launcher'
    )
    # torchrun and older launchers spell it differently.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def parse_run_arguments(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None
) -> argparse.Namespace:
    """Parses the command line and tells the launcher's ranks who they are."""
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    export_ranks(args.launcher)
    return args


def read_run_config(args: argparse.Namespace, folder: str = '') -> Config:
    """As :func:`read_config`, with launcher and work dir.

    Args:
        args: The parsed command line.
        folder: Where in the config's work dir, unless ``--work-dir`` names one.

    Raises:
        UserError: If the file or an override is wrong.
    """
    cfg = read_config(args)
    cfg.launcher = args.launcher
    named = cfg.get('work_dir') or Path('work_dirs') / Path(args.config).stem
    cfg.work_dir = str(Path(named) / folder) if args.work_dir is None else args.work_dir
    return cfg


def build_runner(cfg: Config) -> Runner:
    """The Runner of the config, or one of the class that its ``runner_type`` names."""
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)

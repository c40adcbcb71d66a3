"""The body of ``tools/train.py``: the config file is what runs.

Beyond the flags of its own command line, this applies nothing to the config.
"""

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmssl_prior.cli.boundary import run_guarded
from mmssl_prior.cli.distributed import leave, prepare_distributed
from mmssl_prior.config import (
    apply_overrides,
    check_arguments,
    check_checkpoints,
    load_config,
    parse_overrides,
    warn_of_schedules,
)
from mmssl_prior.errors import UserError

__all__ = ['build_config', 'main', 'parse_args', 'train']

AMP_WRAPPERS = {
    'OptimWrapper': 'AmpOptimWrapper',
    'GroupClipOptimWrapper': 'GroupClipAmpOptimWrapper',
}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line; the flags are those of MMPretrain's own script."""
    parser = argparse.ArgumentParser(description='Train a model')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir', help='folder of logs and checkpoints (default: ./work_dirs/<config name>)'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CKPT',
        help='continue from a checkpoint; without a value from the latest in the work dir, '
        'or from the start if it has none',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        metavar='KEY=VALUE',
        help='override keys of the config: model.head.temperature=0.2, custom_hooks.0.interval=5, '
        'key="[a,b]". The key must exist; a leading plus adds one: +model.head.temperature=0.2',
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='launcher'
    )
    # torchrun and older launchers spell it differently.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def _apply_amp(cfg: Config) -> None:
    if get_device() == 'cpu':
        raise UserError('--amp needs a GPU, and none is visible')
    wrapper = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if wrapper not in (*AMP_WRAPPERS, *AMP_WRAPPERS.values()):
        raise UserError(f'--amp: the optim_wrapper {wrapper} has no mixed-precision version')
    cfg.optim_wrapper.type = AMP_WRAPPERS.get(wrapper, wrapper)
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def build_config(args: argparse.Namespace) -> Config:
    """Reads the config, applies the command line to it, and checks it.

    Raises:
        UserError: If the file, an override or an argument of a class is wrong.
    """
    cfg = load_config(args.config)
    apply_overrides(cfg, parse_overrides(args.cfg_options))
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.amp:
        _apply_amp(cfg)
    check_arguments(cfg)
    return cfg


def train(cfg: Config) -> None:
    """Builds the Runner, checks the checkpoints it will load, and trains."""
    prepare_distributed(cfg)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    check_checkpoints(runner.model, cfg)
    warn_of_schedules(cfg)
    loader = runner.train_loop.dataloader
    if not len(loader):
        raise UserError(
            f'train_dataloader: {len(loader.dataset)} images make no batch of {loader.batch_size} '
            'on each rank with drop_last: lower train_dataloader.batch_size'
        )
    runner.train()


def _resume_hint(args: argparse.Namespace, cfg: Config | None) -> str:
    """The command that goes on with this very run: its environment, launcher and options."""
    work_dir = cfg.work_dir if cfg is not None else ''
    if cfg is None or not (Path(work_dir) / 'last_checkpoint').is_file():
        return 'interrupted before the first checkpoint was written'
    variables = [
        f'{name}={shlex.quote(os.environ[name])} '
        for name in getattr(cfg, 'env_variables', {})
        if name in os.environ
    ]
    config, ranks = shlex.quote(args.config), os.environ.get('LOCAL_WORLD_SIZE')
    start = f'python tools/train.py {config}'
    if args.launcher == 'pytorch' and ranks:
        start = f'bash tools/dist_train.sh {config} {ranks}'
    elif args.launcher != 'none':
        start += f' --launcher {args.launcher}'
    amp = ' --amp' if args.amp else ''
    options = f' --cfg-options {shlex.join(args.cfg_options)}' if args.cfg_options else ''
    return (
        f'interrupted; to continue: {"".join(variables)}{start} '
        f'--work-dir {shlex.quote(work_dir)} --resume{amp}{options}'
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parse_args(argv)
    cfg: Config | None = None

    def body() -> None:
        nonlocal cfg
        cfg = build_config(args)
        train(cfg)

    return leave(run_guarded(body, lambda: _resume_hint(args, cfg)))


if __name__ == '__main__':
    raise SystemExit(main())

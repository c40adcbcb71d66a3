"""The body of ``tools/train.py``: the config file is what runs.

Beyond the flags of its own command line, this applies nothing to the config.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmengine import dist
from mmengine.config import Config
from mmengine.device import get_device

from mmssl_prior.cli.boundary import run_guarded
from mmssl_prior.cli.distributed import leave, prepare_distributed
from mmssl_prior.cli.options import (
    add_config_arguments,
    add_run_arguments,
    build_runner,
    parse_run_arguments,
    read_run_config,
)
from mmssl_prior.config import (
    check_arguments,
    check_checkpoints,
    check_classes,
    check_data_roots,
    latest_checkpoint,
    package_root,
    warn_of_schedules,
)
from mmssl_prior.engine.local_batch_size import local_batch_size
from mmssl_prior.errors import UserError

__all__ = ['build_config', 'main', 'parse_args', 'train']

AMP_WRAPPERS = {
    'OptimWrapper': 'AmpOptimWrapper',
    'GroupClipOptimWrapper': 'GroupClipAmpOptimWrapper',
}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line; the flags are those of MMPretrain's own script."""
    parser = argparse.ArgumentParser(description='Train a model')
    add_config_arguments(parser)
    add_run_arguments(parser, './work_dirs/<config name>')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CKPT',
        help='continue from a checkpoint; without a value from the latest in the work dir, '
        'or from the start if it has none',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    return parse_run_arguments(parser, argv)


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
    cfg = read_run_config(args)
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.amp:
        _apply_amp(cfg)
    check_arguments(cfg)
    return cfg


def train(cfg: Config) -> None:
    """Builds the Runner, checks the data and the checkpoints it will load, and trains."""
    check_data_roots(cfg)
    prepare_distributed(cfg)
    runner = build_runner(cfg)
    if cfg.resume and not cfg.load_from:
        # Not MMEngine's choice, which is the last one named, whole or not. One rank chooses: on
        # another machine the shared folder may be a moment behind.
        chosen = [latest_checkpoint(cfg.work_dir) if dist.is_main_process() else None]
        dist.broadcast_object_list(chosen)
        runner._load_from = chosen[0]
        runner._resume = runner._load_from is not None
    check_checkpoints(runner.model, cfg, runner._load_from)
    warn_of_schedules(cfg)
    loader = runner.train_loop.dataloader
    if not len(loader):
        raise UserError(
            f'train_dataloader: {len(loader.dataset)} images make no batch of '
            f'{local_batch_size(loader)} on each rank with drop_last: lower '
            f'train_dataloader.batch_size{_indices_hint(cfg)}'
        )
    check_classes(runner)
    runner.train()


def _indices_hint(cfg: Config) -> str:
    dataset = cfg.train_dataloader.dataset
    named = isinstance(dataset, dict) and dataset.get('indices') is not None
    return ', or raise or leave out train_dataloader.dataset.indices' if named else ''


def _variables(names: Iterable[str]) -> str:
    """The variables of the environment that are set, as they stand before a command."""
    set_ones = [name for name in names if name in os.environ]
    return ''.join(f'{name}={shlex.quote(os.environ[name])} ' for name in set_ones)


def _script() -> tuple[str, Path]:
    """How this process was started (``python tools/train.py``), and the folder of the scripts."""
    spec = getattr(sys.modules['__main__'], '__spec__', None)
    if spec is not None and spec.name.startswith('mmssl_prior.'):
        return f'python -m {spec.name}', package_root() / 'tools'
    # In a notebook or a test, what a user would have typed.
    script = Path(sys.argv[0]) if Path(sys.argv[0]).name == 'train.py' else Path('tools/train.py')
    return f'python {shlex.quote(str(script))}', script.parent


def _resume_hint(args: argparse.Namespace, cfg: Config | None) -> str:
    """The command that goes on with this very run: its environment, launcher and options."""
    work_dir = cfg.work_dir if cfg is not None else ''
    if cfg is None or not (Path(work_dir) / 'last_checkpoint').is_file():
        return 'interrupted before the first checkpoint was written'
    variables, (start, tools) = _variables(getattr(cfg, 'env_variables', {})), _script()
    config, folder = shlex.quote(args.config), f'--work-dir {shlex.quote(work_dir)}'
    ranks = os.environ.get('LOCAL_WORLD_SIZE')
    if args.launcher == 'pytorch' and ranks:
        if os.environ.get('NNODES', '1') != '1':
            variables += _variables(('NNODES', 'NODE_RANK', 'MASTER_ADDR', 'PORT'))
        command = f'bash {shlex.quote(str(tools / "dist_train.sh"))} {config} {ranks} {folder}'
    elif args.launcher == 'slurm' and 'SLURM_JOB_PARTITION' in os.environ:
        variables += f'GPUS={os.environ["SLURM_NTASKS"]} '
        if per_node := os.environ.get('SLURM_NTASKS_PER_NODE'):
            variables += f'GPUS_PER_NODE={per_node} '
        job = shlex.join(os.environ.get(f'SLURM_JOB_{n}', 'train') for n in ('PARTITION', 'NAME'))
        script = shlex.quote(str(tools / 'slurm_train.sh'))
        command = f'bash {script} {job} {config} {shlex.quote(work_dir)}'
    else:
        launcher = f' --launcher {args.launcher}' if args.launcher != 'none' else ''
        command = f'{start} {config}{launcher} {folder}'
    amp = ' --amp' if args.amp else ''
    options = f' --cfg-options {shlex.join(args.cfg_options)}' if args.cfg_options else ''
    return f'interrupted; to continue: {variables}{command} --resume{amp}{options}'


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

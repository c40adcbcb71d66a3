"""The body of ``tools/test.py``: what the config evaluates, of a checkpoint.

That is its test loop, or its validation loop where it has no other: the k-NN
accuracy of a pretraining config.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mmengine
import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.evaluator import DumpResults
from mmengine.hooks import CheckpointHook, EarlyStoppingHook
from mmengine.runner import Runner

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
    check_complete,
    check_data_roots,
    check_tested_classes,
    checkpoint_weights,
    read_checkpoint,
)
from mmssl_prior.errors import UserError

__all__ = ['build_config', 'main', 'parse_args', 'test']

# The class behind a loop's config that names none, as the Runner takes it.
DEFAULT_LOOPS = {'test': 'TestLoop', 'val': 'ValLoop'}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line; the flags are those of MMPretrain's own script."""
    parser = argparse.ArgumentParser(
        description='Evaluate a checkpoint as its config does: the test loop, or the validation '
        '(k-NN) of a pretraining config'
    )
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint file, all weights of the model')
    add_run_arguments(parser, './work_dirs/<config name>/test')
    parser.add_argument(
        '--out',
        metavar='FILE',
        help='also write the metrics here (.json), or the predictions of a test loop (.pkl)',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    return parse_run_arguments(parser, argv)


def _split(cfg: Config) -> str:
    """Whether the config is evaluated by its test or its validation loop."""
    for split in DEFAULT_LOOPS:
        parts = (cfg.get(f'{split}_{part}') for part in ('dataloader', 'cfg', 'evaluator'))
        if all(part is not None for part in parts):
            return split
    raise UserError(
        f'{cfg.filename}: evaluates nothing: it has neither test_dataloader, test_cfg and '
        'test_evaluator nor val_dataloader, val_cfg and val_evaluator'
    )


def _apply_amp(cfg: Config, split: str) -> None:
    loop = cfg[f'{split}_cfg']
    kind = loop.get('type', DEFAULT_LOOPS[split])
    if kind not in DEFAULT_LOOPS.values():
        raise UserError(f'--amp: the {kind} of {split}_cfg has no mixed precision')
    loop.fp16 = True


def _check_out(out: str | None, split: str) -> None:
    suffix = Path(out).suffix if out else '.json'
    if suffix not in ('.json', '.pkl'):
        raise UserError(f'--out {out}: must end in .json (metrics) or .pkl (predictions)')
    if suffix == '.pkl' and split != 'test':
        raise UserError(f'--out {out}: a validation loop has no predictions; write a .json')


def build_config(args: argparse.Namespace) -> Config:
    """Reads the config, applies the command line to it, and checks it.

    Raises:
        UserError: If the file, an override, a flag or an argument of a class is
            wrong, or the config evaluates nothing.
    """
    cfg = read_run_config(args, 'test')
    split = _split(cfg)
    _check_out(args.out, split)
    cfg.load_from, cfg.resume = args.checkpoint, False
    if args.amp:
        _apply_amp(cfg, split)
    check_arguments(cfg)
    # The Runner logs the whole config before it reads the checkpoint.
    if '://' not in args.checkpoint and not Path(args.checkpoint).expanduser().is_file():
        raise UserError(f'checkpoint {args.checkpoint}: no such file')
    return cfg


def _without_training(runner: Runner) -> None:
    """Takes out the hooks that act on a training when a validation ends."""
    acting = (CheckpointHook, EarlyStoppingHook)
    runner._hooks = [hook for hook in runner.hooks if not isinstance(hook, acting)]


def test(cfg: Config, predictions: str | None = None) -> tuple[dict[str, Any], Runner]:
    """Builds the Runner, checks that checkpoint and classes are the model's, and evaluates.

    Args:
        cfg: A config that :func:`build_config` has made.
        predictions: Where to write the predictions of a test loop (``.pkl``).

    Returns:
        The metrics, the same on every rank, and the Runner.
    """
    split = _split(cfg)
    check_data_roots(cfg, (f'{split}_dataloader', f'{split}_cfg'))
    prepare_distributed(cfg)
    runner = build_runner(cfg)
    content = read_checkpoint(cfg.load_from)
    check_complete(runner.model, cfg.load_from, checkpoint_weights(content))
    meta = content.get('meta')
    check_tested_classes(runner, split, meta if isinstance(meta, Mapping) else None)
    if split == 'val':
        _without_training(runner)
        return runner.val(), runner
    if predictions:
        runner.test_evaluator.metrics.append(DumpResults(out_file_path=predictions))
    return runner.test(), runner


def _plain(value: Any) -> Any:
    """Numbers and lists that JSON knows."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    return value.item() if hasattr(value, 'item') else value


def _report(metrics: Mapping[str, Any], files: Sequence[str]) -> None:
    plain = {name: _plain(value) for name, value in metrics.items()}
    for file in files:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        mmengine.dump(plain, file, indent=2)
    for name, value in plain.items():
        print(f'{name}: {value:.4f}' if isinstance(value, float) else f'{name}: {value}')
    print(f'written to {", ".join(files)}')


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parse_args(argv)

    def body() -> None:
        predictions = args.out if args.out and args.out.endswith('.pkl') else None
        metrics, runner = test(build_config(args), predictions)
        if is_main_process():
            other = [args.out] if args.out and not predictions else []
            _report(metrics, [str(Path(runner.log_dir) / 'metrics.json'), *other])

    return leave(run_guarded(body, lambda: 'interrupted'))


if __name__ == '__main__':
    raise SystemExit(main())

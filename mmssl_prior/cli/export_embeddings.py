"""The body of ``tools/export_embeddings.py``: a folder of images to an array and a table."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, MODELS

from mmssl_prior.cli.boundary import run_guarded
from mmssl_prior.cli.options import add_config_arguments, read_config
from mmssl_prior.config import checkpoint_weights, read_checkpoint
from mmssl_prior.config.checkpoints import check_complete
from mmssl_prior.errors import UserError
from mmssl_prior.evaluation.encoder_config import encoder_config
from mmssl_prior.evaluation.export_embeddings import Export, export_embeddings

__all__ = ['export', 'main', 'test_pipeline']

LOADERS = ('test_dataloader', 'val_dataloader')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write embeddings.npy, embeddings.csv and skipped.csv of a folder of images'
    )
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint that was trained with the config')
    parser.add_argument('--data', required=True, help='folder of images, flat or nested')
    parser.add_argument('--out', required=True, help='folder to write; continues where it stopped')
    parser.add_argument('--batch-size', type=int, default=64, help='default: 64')
    parser.add_argument('--num-workers', type=int, default=4, help='default: 4')
    args = parser.parse_args(argv)
    if args.batch_size < 1 or args.num_workers < 0:
        parser.error('--batch-size must be at least 1 and --num-workers at least 0')
    return args


def test_pipeline(cfg: Config) -> list[dict]:
    """The config's deterministic pipeline: of its test or validation data, or ``test_pipeline``.

    Raises:
        UserError: If it has none.
    """
    for name in LOADERS:
        dataset: Any = (cfg.get(name) or {}).get('dataset') or {}
        while 'pipeline' not in dataset and isinstance(dataset.get('dataset'), dict):
            dataset = dataset['dataset']
        if dataset.get('pipeline'):
            steps = dataset['pipeline']
            break
    else:
        steps = cfg.get('test_pipeline')
    if not steps:
        raise UserError(
            f'{cfg.filename}: no pipeline to evaluate with: define test_pipeline=[...] in the file'
        )
    # Data embedded in the package come as arrays, images of a folder as files.
    loads = str(steps[0]['type']).startswith('LoadImage')
    return [*([] if loads else [dict(type='LoadImage')]), *steps]


def export(
    cfg: Config,
    checkpoint: str,
    data: str,
    out: str,
    batch_size: int = 64,
    num_workers: int = 4,
) -> Export:
    """Builds model and data from the config and writes the embeddings.

    Raises:
        UserError: If a weight of the model is not in the checkpoint, the
            folder has no images, or as :func:`export_embeddings`.
    """
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    pipeline = test_pipeline(cfg)
    dataset = DATASETS.build(
        dict(type='ImageFolder', data_root=data, pipeline=pipeline, test_mode=True)
    )
    model = MODELS.build(cfg.model)
    state = checkpoint_weights(read_checkpoint(checkpoint))
    check_complete(model, checkpoint, state)
    model.load_state_dict(state, strict=False)
    file = Path(checkpoint).stat()
    identity = [str(cfg.model), str(pipeline), f'{file.st_size} {file.st_mtime_ns}']
    return export_embeddings(
        model.to(get_device()),
        dataset,
        out,
        identity,
        batch_size,
        num_workers,
        root=dataset.img_prefix,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parse_args(argv)

    def body() -> None:
        cfg = read_config(args)
        done = export(cfg, args.checkpoint, args.data, args.out, args.batch_size, args.num_workers)
        resumed = f', continued at image {done.resumed_at}' if done.resumed_at else ''
        print(
            f'{args.out}: embeddings.npy ({done.rows}, {done.width}) and embeddings.csv; '
            f'{done.skipped} images skipped, see skipped.csv{resumed}'
        )
        model = MODELS.build(cfg.model)
        print('\nThe encoder in a config of MMPretrain:\n')
        pool = cfg.model.get('pool')
        print(encoder_config(model, cfg.model.backbone, args.checkpoint, pool))

    return run_guarded(
        body, lambda: 'interrupted; the same command continues where this one stopped'
    )


if __name__ == '__main__':
    raise SystemExit(main())

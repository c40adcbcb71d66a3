"""The body of ``tools/browse_dataset.py``: pictures of what a pipeline makes of the images."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from mmssl_prior.cli.boundary import run_guarded
from mmssl_prior.cli.options import add_config_arguments, read_config
from mmssl_prior.config import check_arguments
from mmssl_prior.errors import UserError
from mmssl_prior.models.selfsup import MSN
from mmssl_prior.visualization import BrowsedImage, browse, view_sheet

__all__ = ['browse_dataset', 'main', 'view_names']

LOADERS = {
    'train': ('train_dataloader',),
    'val': ('val_dataloader',),
    'test': ('test_dataloader',),
    'bank': ('val_cfg', 'bank_dataloader'),
}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Draw the first images that a training takes, each beside its views, as PNG'
    )
    add_config_arguments(parser)
    parser.add_argument('--out', default='browse', help='folder of the pictures (default: browse)')
    parser.add_argument('-n', '--number', type=int, default=8, help='how many images (default: 8)')
    parser.add_argument(
        '--phase', choices=list(LOADERS), default='train', help='dataloader (default: train)'
    )
    parser.add_argument('--seed', type=int, help="default: the config's randomness.seed, or 0")
    parser.add_argument(
        '--epoch', type=int, default=1, help='whose views to draw, counted from 1 as in the log'
    )
    return parser.parse_args(argv)


def view_names(cfg: Config, count: int) -> list[str]:
    """What the model uses each view for.

    Example:
        >>> view_names(Config(dict(model=dict(type='MSN'))), 4)
        ['target', 'anchor', 'focal 1', 'focal 2']
    """
    if count == 1:
        return ['view']
    model = MODELS.get((cfg.get('model') or {}).get('type', ''))
    if isinstance(model, type) and issubclass(model, MSN):
        return ['target', 'anchor', *(f'focal {i}' for i in range(1, count - 1))]
    return [f'view {i}' for i in range(1, count + 1)]


def _loader(cfg: Config, phase: str) -> dict:
    node, path = cfg.to_dict(), LOADERS[phase]
    for key in path:
        node = node.get(key) or {}
    if not node:
        raise UserError(f'{cfg.filename}: no {".".join(path)} for --phase {phase}')
    return node


def _title(image: BrowsedImage, epoch: int) -> str:
    label = '' if image.label is None else f' · class {image.label}'
    name = f' · {Path(image.path).name}' if image.path else ''
    return f'image {image.sample_idx}{name}{label} · epoch {epoch}'


def browse_dataset(
    cfg: Config, out: Path, number: int, phase: str, seed: int | None, epoch: int
) -> list[Path]:
    """Writes one PNG for each image; returns the files.

    Raises:
        UserError: If the phase has no dataloader, or there is nothing to draw.
    """
    init_default_scope(cfg.get('default_scope') or 'mmpretrain')
    loader = _loader(cfg, phase)
    seed = (cfg.get('randomness') or {}).get('seed') or 0 if seed is None else seed
    files: list[Path] = []
    for image in browse(loader, number, seed, epoch - 1):
        names = view_names(cfg, len(image.views))
        sheet = view_sheet(image.original, image.views, names, _title(image, epoch), image.mask)
        stem = Path(image.path).stem or f'image{image.sample_idx}'
        out.mkdir(parents=True, exist_ok=True)
        files.append(out / f'{len(files):03d}_{stem}.png')
        sheet.save(files[-1])
    if not files:
        raise UserError(f'{cfg.filename}: the sampler of --phase {phase} draws no image')
    return files


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parse_args(argv)

    def body() -> None:
        cfg = read_config(args)
        check_arguments(cfg)
        out = Path(args.out)
        if out.exists() and not out.is_dir():
            raise UserError(f'--out {out} is not a folder')
        for file in browse_dataset(cfg, out, args.number, args.phase, args.seed, args.epoch):
            print(file)

    return run_guarded(body, lambda: 'interrupted')


if __name__ == '__main__':
    raise SystemExit(main())

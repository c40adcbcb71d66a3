"""Body of ``tools/convert.py``."""

import argparse
from collections.abc import Sequence

from mmengine.registry import init_default_scope

from mmssl_prior.cli.boundary import run_guarded
from mmssl_prior.config import load_config
from mmssl_prior.conversion import FORMATS, EncoderWeights, Written, read_encoder, write_encoder
from mmssl_prior.conversion.licences import licence_line

__all__ = ['convert', 'main']


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Convert an encoder between this package, the MSN release, MMPretrain, timm, '
        'torchvision and Hugging Face, or export it'
    )
    parser.add_argument(
        'source',
        help='checkpoint of the MSN release, of this package or of MMPretrain; state dict of timm '
        'or torchvision (.pth, .safetensors); folder of a ViTMSNModel; timm:NAME=FILE for the '
        'weights of a model of timm',
    )
    parser.add_argument('out', help='file to write, with --to hugging-face a folder')
    parser.add_argument('--to', required=True, choices=list(FORMATS), help='format to write')
    parser.add_argument(
        '--network',
        choices=['target', 'trained'],
        default='target',
        help='of a checkpoint with two networks: the moving average, which is what is evaluated '
        '(default), or the trained one',
    )
    parser.add_argument('--config', help='config of a checkpoint that holds none of its own')
    parser.add_argument(
        '--heads',
        type=int,
        help='attention heads, where the source does not tell; default width/64',
    )
    parser.add_argument(
        '--image-size', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'), help='of a ViT, not square'
    )
    args = parser.parse_args(argv)
    if args.heads is not None and args.heads < 1:
        parser.error('--heads must be at least 1')
    return args


def convert(
    source: str,
    out: str,
    to: str,
    config: str | None = None,
    network: str = 'target',
    heads: int | None = None,
    image: tuple[int, int] | None = None,
) -> tuple[EncoderWeights, Written]:
    """Reads an encoder and writes it in another format.

    Raises:
        UserError: As :func:`read_encoder` and :func:`write_encoder`.
    """
    init_default_scope('mmpretrain')
    cfg = load_config(config).to_dict() if config else None
    encoder = read_encoder(source, cfg, network, heads, image)
    return encoder, write_encoder(encoder, out, to)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parse_args(argv)

    def body() -> None:
        image = tuple(args.image_size) if args.image_size else None
        encoder, written = convert(
            args.source, args.out, args.to, args.config, args.network, args.heads, image
        )
        kind = encoder.sizes or encoder.backbone.get('type')
        print(f'{args.source}: {kind}; {len(encoder.state)} weights')
        for note in encoder.notes:
            print(f'note: {note}')
        compared = (
            f'features differ by at most {written.difference:.1e}'
            if written.difference is not None
            else 'not compared, as no library that opens it is installed'
        )
        print(f'{written.path}: written as {args.to}; {compared}')
        print(licence_line(encoder.licence))
        print(f'\n{written.usage}')

    return run_guarded(body, lambda: 'interrupted; what was written may not be whole: remove it')


if __name__ == '__main__':
    raise SystemExit(main())

"""What a config keeps in the memory of each GPU, by formula; needs no GPU and no data.

python tools/benchmark/memory.py configs/pmsn/pmsn_vit-h14_in1k_fsdp.py [--gpus 1 8 16]

For MSN and PMSN with an MSNViT, trained in bfloat16: weights, target network,
gradients and moments, on one GPU and divided among several; activations of an
image with and without recomputed blocks; what the config's batch comes to.
Not counted: the images, the projection and the head, fragmentation, CUDA
itself (about 1 GB).
"""

import argparse

import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from mmssl_prior.cli.boundary import run_guarded
from mmssl_prior.config import load_config
from mmssl_prior.engine import NetworkSize, activation_bytes, state_bytes, working_bytes
from mmssl_prior.errors import UserError

GB = 1e9


def network_size(cfg) -> NetworkSize:
    """Sizes of a config's network, built without memory for it."""
    init_default_scope('mmpretrain')
    model = cfg.model
    if model.type != 'MSN' or model.backbone.type != 'MSNViT':
        raise UserError(
            f'{cfg.filename}: the formulas are those of MSN with an MSNViT, this is {model.type} '
            f'with {model.backbone.type}'
        )
    with torch.device('meta'):
        backbone, neck = MODELS.build(model.backbone), MODELS.build(model.neck)
    count, layer = _parameters, backbone.layers[0]
    depth = len(backbone.layers)
    return NetworkSize(
        block=count(layer),
        around=count(backbone) + count(neck) - depth * count(layer),
        prototypes=model.head.num_prototypes * model.head.embed_dim,
        width=backbone.embed_dims,
        depth=depth,
        heads=layer.attn.num_heads,
        hidden=layer.ffn.feedforward_channels,
    )


def _parameters(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def tokens_per_image(cfg) -> int:
    """Tokens of an image's anchor views: the first with patches dropped, the focal ones."""
    views = cfg.train_dataloader.dataset.pipeline[1]
    large, focal = (steps[0].scale for steps in views.transforms)
    patch = int(cfg.model.backbone.arch.rpartition('/')[2])
    kept = int((1 - cfg.model.patch_drop) * (large // patch) ** 2)
    return 1 + kept + views.num_views[1] * (1 + (focal // patch) ** 2)


def rows(cfg, gpus) -> list[str]:
    """Markdown tables."""
    size, tokens = network_size(cfg), tokens_per_image(cfg)
    millions = f'{size.trained / 1e6:.1f} + {size.target / 1e6:.1f} million parameters'
    lines = [
        f'{cfg.model.backbone.arch}, trained + target: {millions}; {tokens} tokens of an image',
        '',
        '| GB on each of W GPUs | ' + ' | '.join(f'W = {w}' for w in gpus) + ' |',
        '|---|' + '---|' * len(gpus),
    ]
    states = [state_bytes(size, w) for w in gpus]
    for name in states[0]:
        lines.append(_row(name, [state[name] for state in states]))
    working = [working_bytes(size, w > 1) for w in gpus]
    lines.append(_row('during a step', working))
    totals = [sum(state.values()) + extra for state, extra in zip(states, working)]
    lines.append(_row('**together**', totals))
    lines += ['', '| activations | MB of an image | GB of 64 images |', '|---|---|---|']
    for name, recompute in (('kept', False), ('`with_cp=True`', True)):
        size_of_one = activation_bytes(size, tokens, recompute)
        lines.append(f'| {name} | {size_of_one / 1e6:.0f} | {64 * size_of_one / GB:.1f} |')
    return lines


def _row(name, values) -> str:
    return f'| {name} | ' + ' | '.join(f'{value / GB:.2f}' for value in values) + ' |'


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config')
    parser.add_argument('--gpus', type=int, nargs='+', default=[1, 8, 16], metavar='W')
    args = parser.parse_args(argv)
    return run_guarded(
        lambda: print('\n'.join(rows(load_config(args.config), args.gpus))), lambda: 'interrupted'
    )


if __name__ == '__main__':
    raise SystemExit(main())

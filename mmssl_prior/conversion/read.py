"""Reading encoders of other libraries, and of this one."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import DefaultScope
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.selfsup.mae import MAEViT
from mmpretrain.registry import MODELS
from torch import Tensor

from ..config import literal_config
from ..errors import UserError, printable
from .encoder_weights import EncoderWeights, build
from .files import file_content, left_out, stated_licence, weights_of, without_heads
from .folder import read_folder
from .hugging_face_layout import from_hugging_face, hugging_face_name
from .msn_release import is_msn_release, read_msn_release
from .resnet_layout import is_resnet, resnet_depth
from .timm_layout import from_timm, timm_name
from .vit_layout import examples, sizes_of, stock_config

__all__ = ['read_encoder']

NETWORKS = ('target', 'trained')
# Stock classes whose weights are those of a plain vision transformer where names and shapes say so.
PLAIN = (VisionTransformer, MAEViT)


def read_encoder(
    path: str,
    config: Mapping[str, Any] | None = None,
    network: str = 'target',
    heads: int | None = None,
    image: tuple[int, int] | None = None,
) -> EncoderWeights:
    """The encoder in a file or folder, whatever its layout; no code of it is run.

    Layouts, told apart by their names: checkpoints of the MSN release, of
    this package and of MMPretrain, state dicts of timm and torchvision (also
    as .safetensors), folders of Hugging Face's ``ViTMSNModel``.

    Args:
        path: The file or folder; ``timm:NAME=FILE`` for the weights of a
            model of timm, whose number of heads is then known.
        config: Config of a checkpoint of MMEngine (with a ``model``), for
            what shapes do not tell; by default that in the checkpoint.
        network: Of a checkpoint with two networks 'target', the moving
            average, which is what is evaluated, or 'trained'.
        heads: Attention heads, where the source does not tell them; by
            default width / 64.
        image: (height, width) of a vision transformer where it is not square.

    Raises:
        UserError: If the file is unreadable, would run code, is of no known
            layout, or lacks a weight; one line with file, name and shape.
    """
    if network not in NETWORKS:
        raise UserError(f'network must be one of {NETWORKS}, got {network!r}')
    name = ''
    if path.startswith('timm:'):
        name, _, path = path.removeprefix('timm:').partition('=')
        heads = heads or _timm_heads(name, path)
    if Path(path).expanduser().is_dir():
        _only_target(path, network)
        return read_folder(Path(path).expanduser(), heads)
    content = file_content(path)
    if is_msn_release(content):
        return read_msn_release(content, path, network, heads, image)
    state = weights_of(content)
    licence = stated_licence(content)
    config = _own_config(content, path) if config is None else config
    state, both = _network(state, path, network)
    if config is None and not both:
        _only_target(path, network)
    encoder = _read_state(state, path, config, heads, image, bool(name))
    encoder.licence = licence
    if config is not None:
        _normalisation(encoder, config)
    else:
        encoder.notes.append(
            'the file does not say how images are normalised: mean and std of ImageNet assumed'
        )
    return encoder


def _only_target(path: str, network: str) -> None:
    if network == 'trained':
        raise UserError(
            f'checkpoint {printable(path)}: there is one network in it: leave out --network trained'
        )


def _own_config(content: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
    meta = content.get('meta')
    text = meta.get('cfg') if isinstance(meta, Mapping) else None
    return literal_config(text, path) if isinstance(text, str) else None


def _network(state: dict[str, Tensor], path: str, network: str) -> tuple[dict[str, Tensor], bool]:
    """The weights of the asked backbone without prefix, and whether the file has two."""
    both = any(name.startswith('target_backbone.') for name in state)
    for prefix in ('target_backbone.', 'backbone.') if network == 'target' else ('backbone.',):
        inner = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
        if inner:
            return inner, both
    if not state:
        raise UserError(f'checkpoint {printable(path)}: it holds no tensors')
    return state, both


def _read_state(
    state: dict[str, Tensor],
    path: str,
    config: Mapping[str, Any] | None,
    heads: int | None,
    image: tuple[int, int] | None,
    named: bool,
) -> EncoderWeights:
    model = _model(config)
    given = model.get('backbone')
    backbone = {k: v for k, v in dict(given or {}).items() if k != 'init_cfg'}
    pool = model.get('pool')
    if not backbone:
        kept = without_heads(state)
        notes = left_out(state, kept)
        return _by_names(kept, path, heads, image, notes, sure=named)
    built = _built(backbone, path)
    if isinstance(built, PLAIN) and _is_plain(built, state):
        arch: Any = built
        sizes = sizes_of(
            state, path, heads or arch.arch_settings['num_heads'], tuple(arch.img_size), _eps(built)
        )
        # Pooled tokens are a feature of this backbone; elsewhere there is the class token.
        config_of_it = backbone if pool else stock_config(sizes)
        return EncoderWeights(
            path, config_of_it, state, sizes, image=sizes.image, pool=dict(pool) if pool else None
        )
    size = getattr(built, 'img_size', None)
    size = (size, size) if isinstance(size, int) else size
    encoder = EncoderWeights(path, backbone, state, image=tuple(size or image or (224, 224)))
    encoder.pool = dict(pool) if pool else None
    inner = getattr(built, 'timm_model', None)
    if inner is not None:
        found = getattr(getattr(inner, 'patch_embed', None), 'img_size', None)
        encoder.image = tuple(found) if found else encoder.image
    return encoder


def _by_names(
    state: dict[str, Tensor],
    path: str,
    heads: int | None,
    image: tuple[int, int] | None,
    notes: list[str],
    sure: bool = False,
) -> EncoderWeights:
    """An encoder without a config, by the names of its weights."""
    if is_resnet(state):
        depth = resnet_depth(state, path)
        norms = [n.removesuffix('running_mean') for n in state if n.endswith('running_mean')]
        for norm in norms:
            state.setdefault(f'{norm}num_batches_tracked', torch.tensor(0))
        return EncoderWeights(path, dict(type='ResNet', depth=depth), state, notes=notes)
    foreign: Callable[[str], str] = str
    if 'patch_embed.proj.weight' in state:
        state, foreign = from_timm(state, image), timm_name
    elif any('patch_embeddings.projection.weight' in name for name in state):
        state, foreign = from_hugging_face(state), hugging_face_name
    elif 'patch_embed.projection.weight' not in state:
        raise UserError(
            f'checkpoint {printable(path)}: of no layout that is known (MSN release, timm, '
            f'ViTMSNModel, MMPretrain, ResNet); it has {examples(state)}; a checkpoint of MMEngine '
            'needs its config: --config FILE'
        )
    sizes = sizes_of(state, path, heads, image, foreign=foreign)
    if heads is None and not sure:
        notes.append(
            f'the file does not say how many heads there are: {sizes.heads} (width / 64) assumed; '
            'another number: --heads N'
        )
    return EncoderWeights(path, stock_config(sizes), state, sizes, image=sizes.image, notes=notes)


def _model(config: Mapping[str, Any] | None) -> Mapping[str, Any]:
    model = (config or {}).get('model') or {}
    return model if isinstance(model, Mapping) else {}


def _built(backbone: dict[str, Any], path: str) -> Any:
    quiet = {k: v for k, v in backbone.items() if k not in ('pretrained', 'checkpoint_path')}
    kind = backbone.get('type')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        known = MODELS.get(str(kind))
    if known is None:
        raise UserError(
            f'checkpoint {printable(path)}: its config has a backbone of type {kind!r}, which is '
            'in no registry here: add its module to custom_imports of the config'
        )
    return build(quiet)


def _is_plain(built: Any, state: Mapping[str, Tensor]) -> bool:
    """Whether it evaluates the class token of a network without parts of its own."""
    names = {re.sub(r'^layers\.\d+\.', 'layers.0.', name) for name in state}
    known = {
        'cls_token',
        'pos_embed',
        *(f'{n}.{p}' for n in ('patch_embed.projection', 'ln1') for p in ('weight', 'bias')),
        *(
            f'layers.0.{n}.{p}'
            for n in ('attn.qkv', 'attn.proj', 'ffn.layers.0.0', 'ffn.layers.1', 'ln1', 'ln2')
            for p in ('weight', 'bias')
        ),
    }
    ends = getattr(built, 'out_indices', [built.num_layers - 1])
    last = list(ends) and list(ends)[-1] == built.num_layers - 1
    token = isinstance(built, MAEViT) or built.out_type in ('cls_token', 'raw')
    return names == known and bool(last) and token


def _eps(built: Any) -> float:
    return float(built.ln1.eps)


def _timm_heads(name: str, path: str) -> int | None:
    """Heads of a model of timm."""
    import timm

    if not timm.is_model(name) or not path:
        raise UserError(
            f'timm:{name}={path}: expected timm:NAME=FILE with a model of timm {timm.__version__}; '
            'timm.list_models lists them'
        )
    if 'vit' not in name and 'deit' not in name:
        return None
    with torch.random.fork_rng(devices=[]):
        model = timm.create_model(name, num_classes=0)
    blocks = getattr(model, 'blocks', None)
    return getattr(getattr(blocks[0], 'attn', None), 'num_heads', None) if blocks else None


def _normalisation(encoder: EncoderWeights, config: Mapping[str, Any]) -> None:
    given = _model(config).get('data_preprocessor') or config.get('data_preprocessor') or {}
    mean, std = given.get('mean'), given.get('std')
    if mean is None or std is None or len(mean) != len(std):
        encoder.notes.append(
            'the config does not say how images are normalised: mean and std of ImageNet assumed'
        )
        return
    if not given.get('to_rgb', True):
        encoder.notes.append('images are normalised in the order B, G, R')
    encoder.mean, encoder.std = tuple(map(float, mean)), tuple(map(float, std))

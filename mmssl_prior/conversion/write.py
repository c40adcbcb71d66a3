"""Writing encoders in the formats of other libraries."""

import errno
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError, printable
from ..version import __version__
from .compare import (
    compare_hugging_face,
    compare_timm,
    compare_torchvision,
    example,
    largest_difference,
)
from .encoder_weights import EncoderWeights
from .export import export_onnx, export_program, export_torchscript
from .hugging_face_layout import (
    CONFIG,
    PROCESSOR,
    WEIGHTS,
    config_of,
    processor_of,
    to_hugging_face,
)
from .licences import UNSTATED, licence_line
from .read import read_encoder
from .timm_layout import timm_arguments, timm_call, to_timm
from .vit_layout import ViTSizes

__all__ = ['FORMATS', 'Written', 'write_encoder']

# Of single features; kernels in another order differ by about 1e-6.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Written:
    """What was written.

    Args:
        path: The file or folder.
        usage: Lines that show how it is opened.
        difference: Largest absolute difference between the features of the
            encoder here and of what was written, on random images; None
            where the library to open it with is not installed.
    """

    path: str
    usage: str
    difference: float | None


def write_encoder(encoder: EncoderWeights, path: str, format: str) -> Written:
    """Write an encoder and compare what was written with it.

    Args:
        encoder: As :func:`read_encoder` gives it.
        path: The file, of 'hugging-face' the folder; there must be none yet.
        format: A key of ``FORMATS``.

    Raises:
        UserError: If the encoder has no counterpart there, the file exists or
            cannot be written, or a library that the format needs is not installed.
    """
    if format not in FORMATS:
        raise UserError(f'format must be one of {", ".join(FORMATS)}, got {format!r}')
    place = Path(path).expanduser()
    try:
        if place.exists() and not (place.is_dir() and not any(place.iterdir())):
            raise UserError(f'{printable(place)} exists: name another, or remove it')
        place.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(place.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        written = FORMATS[format](encoder, place)
    except OSError as error:
        if error.errno is None:  # transformers has a meaning of its own for these
            raise
        raise UserError(
            f'{printable(place)} could not be written ({error.strerror}); name another place, or '
            'make room'
        ) from error
    if written.difference is not None and not written.difference <= TOLERANCE:
        raise RuntimeError(
            f'{place}: its features differ from those of {encoder.source} by '
            f'{written.difference:.1e}: a mistake of the conversion, do not use the file'
        )
    return written


def _meta(encoder: EncoderWeights, **more: str) -> dict[str, str]:
    """What every output says of itself, as text."""
    return dict(
        made_by=f'mmssl_prior {__version__}, tools/convert.py',
        source=os.path.basename(encoder.source.rstrip('/')),
        licence=encoder.licence or UNSTATED,
        normalisation=json.dumps(dict(order='RGB', mean=encoder.mean, std=encoder.std)),
        **more,
    )


def _save(content: dict[str, Any], place: Path) -> None:
    """Write a file that is there whole or not at all."""
    part = place.with_name(place.name + '.part')
    try:
        # A file of ours: torch's own say of a full disk what no one understands.
        with open(part, 'wb') as file:
            torch.save(content, file)
        os.replace(part, place)
    finally:
        part.unlink(missing_ok=True)


def _contiguous(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}


def _write_mmpretrain(encoder: EncoderWeights, place: Path) -> Written:
    model = dict(type='ImageClassifier', backbone=encoder.backbone, **_neck_of(encoder), head=None)
    text = f'model = {model!r}\ndata_preprocessor = {encoder.preprocessor()!r}\n'
    state = {f'backbone.{name}': value for name, value in _contiguous(encoder.state).items()}
    _save(dict(state_dict=state, meta=dict(_meta(encoder), cfg=text)), place)
    init = dict(type='Pretrained', checkpoint=str(place), prefix='backbone.')
    lines = ''.join(f'    {key}={value!r},\n' for key, value in encoder.backbone.items())
    return Written(
        str(place),
        f'backbone = dict(\n{lines}    init_cfg=dict({_arguments(init)}),\n)\n'
        f'data_preprocessor = dict({_arguments(encoder.preprocessor())})\n'
        'or, on the command line of a config with this backbone: --cfg-options '
        f'model.backbone.init_cfg.checkpoint={place} model.backbone.init_cfg.prefix=backbone.',
        _read_again(encoder, place),
    )


def _read_again(encoder: EncoderWeights, place: Path) -> float:
    again = read_encoder(str(place))
    return largest_difference(encoder.model(), again.model(), example(encoder))


def _neck_of(encoder: EncoderWeights) -> dict[str, Any]:
    return dict(neck=encoder.pool) if encoder.pool else {}


def _arguments(values: dict[str, Any]) -> str:
    return ', '.join(f'{key}={value!r}' for key, value in values.items())


def _write_msn(encoder: EncoderWeights, place: Path) -> Written:
    if not encoder.neck or encoder.prototypes is None:
        raise UserError(
            f'{printable(encoder.source)}: no projection head and prototypes in it, which a '
            'checkpoint of MSN has: --to mmpretrain writes the encoder alone'
        )
    hidden, width = encoder.neck['fc1.weight'].shape
    out = encoder.neck['fc3.weight'].shape[0]
    model = dict(
        type='MSN',
        data_preprocessor=dict(type='SelfSupDataPreprocessor', **encoder.preprocessor()),
        backbone=dict(encoder.backbone, type='MSNViT'),
        neck=dict(type='MSNNeck', in_channels=width, hid_channels=hidden, out_channels=out),
        head=dict(
            type='PMSNHead',
            num_prototypes=len(encoder.prototypes),
            embed_dim=out,
            prior=dict(type='UniformPrior'),
            sinkhorn=dict(marginal='uniform'),
        ),
    )
    state = {'head.prototypes': encoder.prototypes}
    parts = dict(target_backbone=encoder.state, target_neck=encoder.neck)
    # Released files hold the target network alone: training goes on from it.
    parts |= dict(
        backbone=encoder.trained_backbone or encoder.state,
        neck=encoder.trained_neck or encoder.neck,
    )
    for part, weights in parts.items():
        state |= {f'{part}.{name}': value for name, value in weights.items()}
    text = (
        "custom_imports = {'imports': ['mmssl_prior'], 'allow_failed_imports': False}\n"
        f"default_scope = 'mmpretrain'\nmodel = {model!r}\n"
    )
    _save(dict(state_dict=_contiguous(state), meta=dict(_meta(encoder), cfg=text)), place)
    return Written(
        str(place),
        f'python tools/evaluate.py {place} --tasks all\n'
        f'load_from = {str(place)!r}  # with model = dict({_arguments(model)})',
        _read_again(encoder, place),
    )


def _plain(encoder: EncoderWeights, library: str) -> ViTSizes:
    if encoder.sizes is None:
        raise UserError(
            f'{printable(encoder.source)}: {library} has no counterpart of '
            f'{encoder.backbone.get("type")} as it is configured ({_features_of(encoder)}); a '
            'plain vision transformer with class token converts, and any backbone with --to onnx, '
            'torch-export or torchscript'
        )
    return encoder.sizes


def _features_of(encoder: EncoderWeights) -> str:
    return ', '.join(f'{k}={v!r}' for k, v in encoder.backbone.items() if k != 'type')


def _timm_target(encoder: EncoderWeights) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    if encoder.timm_model:
        given = {
            key: value
            for key, value in encoder.backbone.items()
            if key not in ('type', 'model_name', 'pretrained', 'checkpoint_path', 'norm_layer')
        }
        state = {n.removeprefix('timm_model.'): v for n, v in encoder.state.items()}
        return encoder.timm_model, dict(given, num_classes=0), state
    if encoder.depth:
        return f'resnet{encoder.depth}', dict(num_classes=0), dict(encoder.state)
    sizes = _plain(encoder, 'timm')
    return *timm_arguments(sizes), to_timm(encoder.state)


def _write_timm(encoder: EncoderWeights, place: Path) -> Written:
    name, arguments, state = _timm_target(encoder)
    call = timm_call(name, arguments)
    state = _contiguous(state)
    difference = compare_timm(encoder, name, arguments, state)
    meta = _meta(encoder, model=call)
    if place.suffix == '.safetensors':
        from safetensors.torch import save_file

        save_file(state, place, metadata=dict(meta, format='pt'))
        load = f'safetensors.torch.load_file({str(place)!r})'
    else:
        _save(dict(state_dict=state, meta=meta), place)
        load = f"torch.load({str(place)!r})['state_dict']"
    return Written(
        str(place), f'model = {call}\nmodel.load_state_dict({load}, strict=True)', difference
    )


def _write_torchvision(encoder: EncoderWeights, place: Path) -> Written:
    if not encoder.depth:
        raise UserError(
            f'{printable(encoder.source)}: torchvision has a counterpart of plain ResNets only, '
            f'this is {encoder.backbone.get("type")} ({_features_of(encoder)})'
        )
    state = _contiguous(encoder.state)
    difference = compare_torchvision(encoder, state)
    _save(dict(state_dict=state, meta=_meta(encoder, model=f'resnet{encoder.depth}')), place)
    return Written(
        str(place),
        f'model = torchvision.models.resnet{encoder.depth}()\nmodel.fc = torch.nn.Identity()\n'
        f"model.load_state_dict(torch.load({str(place)!r})['state_dict'], strict=True)",
        difference,
    )


def _write_hugging_face(encoder: EncoderWeights, place: Path) -> Written:
    from safetensors.torch import save_file

    sizes = _plain(encoder, 'transformers')
    if sizes.image[0] != sizes.image[1]:
        raise UserError(
            f'{printable(encoder.source)}: ViTMSNModel takes square images, this encoder '
            f'{sizes.image[0]}x{sizes.image[1]} px'
        )
    place.mkdir(exist_ok=True)
    meta = _meta(encoder)
    save_file(
        _contiguous(to_hugging_face(encoder.state)),
        place / WEIGHTS,
        metadata=dict(meta, format='pt'),
    )
    processor = processor_of(sizes.image[0], encoder.mean, encoder.std)
    for name, content in ((CONFIG, config_of(sizes)), (PROCESSOR, processor)):
        (place / name).write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
    (place / 'README.md').write_text(_card(encoder, sizes), encoding='utf-8')
    usage = (
        f'model = transformers.ViTMSNModel.from_pretrained({str(place)!r})\n'
        f'processor = transformers.AutoImageProcessor.from_pretrained({str(place)!r})\n'
        'features = model(**processor(images=image, return_tensors="pt")).last_hidden_state[:, 0]'
    )
    return Written(str(place), usage, compare_hugging_face(encoder, place))


def _card(encoder: EncoderWeights, sizes: ViTSizes) -> str:
    tag = 'cc-by-nc-4.0' if encoder.licence.startswith('CC BY-NC 4.0') else 'unknown'
    return (
        f'---\nlicense: {tag}\nlibrary_name: transformers\ntags: [vit_msn]\n---\n\n'
        f'# {os.path.basename(encoder.source.rstrip("/"))}, converted\n\n'
        f'{sizes}, for `transformers.ViTMSNModel`. The feature of an image is the class token of '
        '`last_hidden_state`.\n\n'
        f'{licence_line(encoder.licence).capitalize()}\n\n'
        f'Made by mmssl_prior {__version__}, tools/convert.py.\n'
    )


def _exporter(export: Callable[..., tuple[float | None, str]]) -> Callable:
    def write(encoder: EncoderWeights, place: Path) -> Written:
        difference, usage = export(encoder, place, _meta(encoder))
        return Written(str(place), usage, difference)

    return write


#: Name of a format and what writes it.
FORMATS: dict[str, Callable[[EncoderWeights, Path], Written]] = {
    'mmpretrain': _write_mmpretrain,
    'msn': _write_msn,
    'timm': _write_timm,
    'torchvision': _write_torchvision,
    'hugging-face': _write_hugging_face,
    'onnx': _exporter(export_onnx),
    'torch-export': _exporter(export_program),
    'torchscript': _exporter(export_torchscript),
}

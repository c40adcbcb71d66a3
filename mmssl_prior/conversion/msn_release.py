"""The layout of the checkpoints that facebookresearch/msn released."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..errors import UserError, printable
from .encoder_weights import EncoderWeights
from .licences import MSN_LICENCE
from .timm_layout import from_timm, timm_name
from .vit_layout import examples, sizes_of, stock_config

__all__ = ['is_msn_release', 'read_msn_release']

TARGET, TRAINED, PROTOTYPES = 'target_encoder', 'encoder', 'prototypes'
LINEAR = tuple(f'{name}.{part}' for name in ('fc1', 'fc2', 'fc3') for part in ('weight', 'bias'))
NORM = tuple(
    f'{name}.{part}'
    for name in ('bn1', 'bn2')
    for part in ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
)


def is_msn_release(content: Mapping) -> bool:
    """Whether the content of a checkpoint has the layout of the MSN release."""
    return isinstance(content.get(TARGET), Mapping)


def read_msn_release(
    content: Mapping[str, Any],
    path: str,
    network: str = 'target',
    heads: int | None = None,
    image: tuple[int, int] | None = None,
) -> EncoderWeights:
    """The encoder, the projection and the prototypes of a released checkpoint.

    Args:
        content: Of the file.
        path: The file, for the messages.
        network: 'target', which the release evaluates, or 'trained'.
        heads: Number of heads; None is width / 64, as in every released model.
        image: (height, width) where it is not square.

    Raises:
        UserError: If a weight of the encoder is missing or has another shape,
            a part of the projection is, or prototypes do not fit it.
    """
    if network == 'trained' and not isinstance(content.get(TRAINED), Mapping):
        raise UserError(
            f'checkpoint {printable(path)}: no trained network in it (key {TRAINED!r}), the '
            'released files hold the target network alone: leave out --network trained'
        )
    notes: list[str] = []
    parts = {
        key: _split(content[key], path, key, notes)
        for key in (TARGET, TRAINED)
        if isinstance(content.get(key), Mapping)
    }
    key = TARGET if network == 'target' else TRAINED
    state, neck = parts[key]
    sizes = sizes_of(
        state, path, heads, image, foreign=lambda name: f'{key}.module.{timm_name(name)}'
    )
    for other, (weights, _) in parts.items():
        if other != key and sizes_of(weights, path, heads, image) != sizes:
            raise UserError(
                f'checkpoint {printable(path)}: {other} and {key} are of different sizes'
            )
    prototypes = content.get(PROTOTYPES)
    if prototypes is not None:
        prototypes = _checked_prototypes(prototypes, neck, path)
    else:
        notes.append('no prototypes in it')
    trained = parts.get(TRAINED)
    return EncoderWeights(
        source=path,
        backbone=stock_config(sizes),
        state=state,
        sizes=sizes,
        neck=neck,
        prototypes=prototypes,
        trained_backbone=trained[0] if trained else {},
        trained_neck=trained[1] if trained else {},
        image=sizes.image,
        licence=MSN_LICENCE,
        notes=notes,
    )


def _split(
    network: Mapping[str, Any], path: str, key: str, notes: list[str]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Backbone in MMPretrain's names, projection in those of MSNNeck."""
    plain = {
        name.removeprefix('module.'): value
        for name, value in network.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    neck = {n.removeprefix('fc.'): v for n, v in plain.items() if n.startswith('fc.')}
    # A predictor is no part of what is evaluated.
    predictor = [n for n in plain if n.startswith('pred.')]
    if predictor:
        notes.append(f'left out of {key}: the predictor ({examples(predictor)})')
    state = from_timm(
        {n: v for n, v in plain.items() if n not in predictor and not n.startswith('fc.')}
    )
    if neck:
        _check_neck(neck, state, path, key)
    else:
        notes.append(f'no projection head in {key} (fc.*)')
    return state, neck


def _check_neck(neck: dict[str, Tensor], state: Mapping[str, Tensor], path: str, key: str) -> None:
    where = f'checkpoint {printable(path)}: {key}.module.fc'
    for name in (*LINEAR, *NORM):
        if name not in neck:
            raise UserError(f'{where}.{name} is missing; the file is not a whole MSN release')
    for name in neck:
        if name not in (*LINEAR, *NORM):
            raise UserError(
                f'{where}.{name} {tuple(neck[name].shape)} has no place in the projection of MSN'
            )
    hidden, width = neck['fc1.weight'].shape
    out = neck['fc3.weight'].shape[0]
    tokens = state.get('ln1.weight')
    expected = {
        'fc1.weight': (hidden, len(tokens) if tokens is not None else width),
        'fc2.weight': (hidden, hidden),
        'fc3.weight': (out, hidden),
        **{name: (hidden,) for name in NORM if not name.endswith('tracked')},
        **{f'fc{i}.bias': (out if i == 3 else hidden,) for i in (1, 2, 3)},
    }
    for name, shape in expected.items():
        if tuple(neck[name].shape) != shape:
            raise UserError(f'{where}.{name}: expected {shape}, it is {tuple(neck[name].shape)}')


def _checked_prototypes(prototypes: Any, neck: Mapping[str, Tensor], path: str) -> Tensor:
    width = neck['fc3.weight'].shape[0] if neck else None
    good = isinstance(prototypes, Tensor) and prototypes.ndim == 2
    if not good or width not in (None, prototypes.shape[1]):
        found = tuple(prototypes.shape) if isinstance(prototypes, Tensor) else type(prototypes)
        raise UserError(
            f'checkpoint {printable(path)}: prototypes: expected shape (K, {width or "D"}), it is '
            f'{found}'
        )
    return prototypes.detach().clone()

"""The part of a checkpoint that makes features, whatever model it was saved from."""

import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ..config.checkpoints import check_complete
from ..errors import UserError
from ..models.classifiers import has_tokens, trunk_features
from .encoder_source import EncoderSource
from .features import evaluation_mode

__all__ = ['Encoder', 'build_encoder']

SIZE = 224


class Encoder(BaseModel):
    """Images to features (B, D): ``extract_feat`` of a model, pooled.

    * Methods of this package: what they evaluate (of MSN the target network).
    * MMPretrain's: the backbone's last output; a map's mean over positions,
      of tokens the class token or else their mean.
    * timm's: what its model pools.

    Or another feature of the same backbone, by its name in
    :func:`~mmssl_prior.models.classifiers.trunk_features`.

    Args:
        model: The model, or a ``TIMMBackbone``.
        data_preprocessor: Normalises the images.
        size: Height and width of the images it takes.
        feature: Name of another feature, such as 'cls_raw'.

    Attributes:
        parts: Names of the model's children that the features depend on, the
            backbone first; empty where the model is the backbone.
    """

    def __init__(
        self,
        model: nn.Module,
        data_preprocessor: nn.Module,
        size: int = SIZE,
        feature: str | None = None,
    ) -> None:
        # MMEngine's base, since a preprocessor follows to a GPU in no other one.
        super().__init__(data_preprocessor)
        self.model = model
        self.size = size
        self.feature: str | None = None
        self.parts = _evaluated_parts(self)
        self.feature = feature
        if feature:
            self._check_whole(feature, 'use --protocol fast')

    @property
    def backbone(self) -> Any:
        """The evaluated backbone: of MSN, say, the target network's."""
        return getattr(self.model, self.parts[0]) if self.parts else self.model

    @property
    def is_vit(self) -> bool:
        """Whether the backbone has tokens, for transforms and heads: a Swin counts as a ResNet."""
        return has_tokens(self.backbone)

    @property
    def masks_patches(self) -> bool:
        """Whether the backbone, called with an image alone, hides some of it."""
        mask = inspect.signature(self.backbone.forward).parameters.get('mask')
        return mask is not None and mask.default is not None

    def forward(
        self, inputs: Tensor, data_samples: Sequence | None = None, mode: str = 'tensor'
    ) -> Tensor:
        """Features of shape (B, D) of preprocessed images."""
        if self.feature:
            return trunk_features(self.backbone, inputs, [self.feature])[self.feature]
        extract = getattr(self.model, 'extract_feat', None)
        if extract is None:
            out = self.model(inputs)
        elif 'stage' in inspect.signature(extract).parameters:
            out = extract(inputs, stage='backbone')
        else:
            out = extract(inputs)
        out = out[-1] if isinstance(out, (list, tuple)) else out
        if out.ndim == 4:
            out = out.mean((1, 2) if self._channels_last() else (2, 3))
        if out.ndim == 3:
            out = out[:, 0] if self._has_class_token() else out.mean(1)
        if out.ndim != 2:
            raise UserError(f'the encoder gives features of shape {tuple(out.shape)}, not (B, D)')
        return out

    def more(self, inputs: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Further features of the backbone, by their names in ``trunk_features``."""
        self._check_whole(', '.join(names), 'leave them out')
        return trunk_features(self.backbone, inputs, names)

    def _check_whole(self, feature: str, remedy: str) -> None:
        if self.masks_patches:
            raise UserError(
                f'{type(self.backbone).__name__} hides patches when it is called, so {feature!r} '
                f'is not read off it: {remedy}'
            )

    def _inner(self) -> Any:
        backbone = getattr(self.model, 'backbone', self.model)
        return getattr(backbone, 'timm_model', backbone)

    def _channels_last(self) -> bool:
        return str(getattr(self._inner(), 'output_fmt', '')).endswith('NHWC')

    def _has_class_token(self) -> bool:
        inner = self._inner()
        tokens = getattr(inner, 'num_prefix_tokens', None)
        return bool(tokens) if tokens is not None else getattr(inner, 'cls_token', None) is not None


def build_encoder(
    source: EncoderSource, size: int | None = None, feature: str | None = None
) -> Encoder:
    """Build the model of a source, with its weights, in eval mode.

    Every weight that the features depend on must be in the checkpoint.

    Args:
        source: As :func:`~.encoder_source.read_source` gives it.
        size: Height and width of the images; by default the backbone's own,
            else 224.
        feature: As in :class:`Encoder`.

    Raises:
        UserError: If the model cannot be built, takes no images of the size
            that is given, or a weight is missing or of another shape; with
            names and shapes.
    """
    build = _timm_encoder if source.timm else _configured_encoder
    try:
        encoder = build(source, size, feature)
        if size is not None and not encoder.parts:
            # Others have seen an image already.
            with evaluation_mode(encoder), torch.no_grad():
                encoder(torch.zeros(1, 3, size, size))
    except (AssertionError, RuntimeError) as error:
        if size is None:
            raise
        reason = str(error).split('\n')[0]
        raise UserError(
            f'{source.timm or source.path}: the encoder takes no images of {size} x {size} px '
            f'({reason}): give another --image-size, or leave it out'
        ) from error
    if source.path:
        state, parts = source.weights(), tuple(encoder.parts)
        check_complete(encoder.model, source.path, state, parts or ('timm_model',))
        kept = {k: v for k, v in state.items() if not parts or k.split('.')[0] in parts}
        encoder.model.load_state_dict(kept, strict=False)
    return encoder.eval().requires_grad_(False)


def _configured_encoder(source: EncoderSource, size: int | None, feature: str | None) -> Encoder:
    assert source.cfg is not None
    model_cfg = source.cfg.get('model')
    if not isinstance(model_cfg, Mapping) or 'type' not in model_cfg:
        raise UserError(f'{source.path}: its config has no model; give another with --config FILE')
    model_cfg = source.cfg.to_dict()['model']
    preprocessor = source.cfg.to_dict().get('data_preprocessor')
    if preprocessor and not model_cfg.get('data_preprocessor'):
        model_cfg['data_preprocessor'] = preprocessor
    backbone = model_cfg.get('backbone')
    if isinstance(backbone, dict):
        # The weights are those of the checkpoint: nothing is fetched.
        for key in ('pretrained', 'checkpoint_path'):
            if backbone.get(key):
                backbone.pop(key)
    with torch.random.fork_rng(devices=[]):
        # Parts that are not evaluated keep these weights; the same on every rank and after a
        # restart, so that stored features are recognised.
        torch.default_generator.manual_seed(0)
        model = MODELS.build(model_cfg)
    if not hasattr(model, 'extract_feat'):
        raise UserError(
            f'{source.path}: a model of type {type(model).__name__} makes no features '
            '(it has no extract_feat)'
        )
    if size is None:
        size = _side(getattr(getattr(model, 'backbone', None), 'img_size', None))
    return Encoder(model, model.data_preprocessor, size or SIZE, feature)


def _timm_encoder(source: EncoderSource, size: int | None, feature: str | None) -> Encoder:
    import timm

    with torch.random.fork_rng(devices=[]), _quietly():
        # Without weights the model is random, and the same each time.
        torch.default_generator.manual_seed(0)
        wrapper = MODELS.build(dict(type='TIMMBackbone', model_name=source.timm))
        torch.default_generator.manual_seed(0)
        # MMPretrain's wrapper takes the pooling off.
        wrapper.timm_model = model = timm.create_model(source.timm, num_classes=0)
    known = getattr(model, 'pretrained_cfg', {})
    preprocessor = MODELS.build(
        dict(
            type='ClsDataPreprocessor',
            mean=[255 * value for value in known.get('mean', (0.485, 0.456, 0.406))],
            std=[255 * value for value in known.get('std', (0.229, 0.224, 0.225))],
            to_rgb=True,
        )
    )
    size = size or _side(known.get('input_size', (0,))[1:]) or SIZE
    return Encoder(wrapper, preprocessor, size, feature)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without MMPretrain's list of the stages of a model of timm."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _side(size: Any) -> int | None:
    """The larger side of what a backbone calls its image size."""
    sides = size if isinstance(size, (list, tuple)) else [size]
    numbers = [side for side in sides if isinstance(side, int) and side > 0]
    return max(numbers, default=None)


@torch.no_grad()
def _evaluated_parts(encoder: Encoder) -> list[str]:
    """Names of the model's children that an image passes on its way to the features.

    Seen rather than known: which network a method evaluates is its own affair.
    """
    if getattr(encoder.model, 'extract_feat', None) is None:
        return []
    used: list[str] = []
    hooks = [
        child.register_forward_pre_hook(lambda *_, name=name: used.append(name))
        for name, child in encoder.model.named_children()
    ]
    device = next(encoder.model.parameters()).device
    try:
        with evaluation_mode(encoder):
            encoder(torch.zeros(1, 3, encoder.size, encoder.size, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    return list(dict.fromkeys(used))

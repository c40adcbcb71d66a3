"""Features of a converted encoder beside those of the encoder here."""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .encoder_weights import EncoderWeights
from .vit_layout import stock_config

__all__ = [
    'class_token_model',
    'compare_hugging_face',
    'compare_timm',
    'compare_torchvision',
    'example',
    'largest_difference',
]


def example(encoder: EncoderWeights, batch: int = 2) -> Tensor:
    """Images of Gaussian noise, as normalised ones are distributed, from a generator of its own."""
    channels = len(encoder.mean)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, channels, *encoder.image, generator=generator)


@torch.no_grad()
def largest_difference(
    ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor], images: Tensor
) -> float:
    """The largest absolute difference of two functions' features."""
    mine, other = ours(images), theirs(images)
    if mine.shape != other.shape:
        raise AssertionError(f'features of {tuple(mine.shape)} and of {tuple(other.shape)}')
    return float((mine - other).abs().max())


def class_token_model(encoder: EncoderWeights) -> Callable[[Tensor], Tensor]:
    """The encoder with the class token as its feature, whatever it pools here."""
    if encoder.sizes is not None and encoder.pool is not None:
        plain = dict(backbone=stock_config(encoder.sizes), pool=None)
        encoder = EncoderWeights(**{**vars(encoder), **plain})
    return encoder.model()


def compare_timm(
    encoder: EncoderWeights, name: str, arguments: Mapping[str, Any], state: dict[str, Tensor]
) -> float:
    """Loads the state into a model of timm, strictly, and compares features."""
    import timm

    with torch.random.fork_rng(devices=[]):
        theirs = timm.create_model(name, **arguments)
    theirs.load_state_dict(state, strict=True)
    theirs.eval()

    def features(images: Tensor) -> Tensor:
        out = theirs.forward_features(images)
        if encoder.timm_model:
            return encoder_output(out)
        return out[:, 0] if out.ndim == 3 else out.mean((2, 3))

    if encoder.timm_model:
        ours = encoder.model().backbone
        return largest_difference(lambda x: encoder_output(ours(x)), features, example(encoder))
    return largest_difference(class_token_model(encoder), features, example(encoder))


def encoder_output(out: Any) -> Tensor:
    """The last of several outputs."""
    return out[-1] if isinstance(out, (list, tuple)) else out


def compare_torchvision(encoder: EncoderWeights, state: dict[str, Tensor]) -> float:
    """Loads the state into a ResNet of torchvision, strictly, and compares features."""
    import torchvision

    with torch.random.fork_rng(devices=[]):
        theirs = getattr(torchvision.models, f'resnet{encoder.depth}')()
    theirs.fc = torch.nn.Identity()
    theirs.load_state_dict(state, strict=True)
    return largest_difference(encoder.model(), theirs.eval(), example(encoder))


def compare_hugging_face(encoder: EncoderWeights, folder: Path) -> float | None:
    """Opens the folder with transformers, if it is installed, and compares features."""
    if importlib.util.find_spec('transformers') is None:
        return None
    from transformers.utils import is_torch_available

    # Each release of transformers wants a torch that is not too old.
    if not is_torch_available():
        return None
    from transformers import ViTMSNModel
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    theirs: Any = ViTMSNModel.from_pretrained(folder).eval()
    if shown:
        logging.enable_progress_bar()
    return largest_difference(
        class_token_model(encoder),
        lambda images: theirs(pixel_values=images).last_hidden_state[:, 0],
        example(encoder),
    )

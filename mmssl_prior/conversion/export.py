"""The encoder as a program that needs neither this package nor OpenMMLab: any batch size."""

import importlib.util
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version
from torch import Tensor, nn

from ..errors import UserError, printable
from .compare import example, largest_difference
from .encoder_weights import EncoderWeights

__all__ = ['export_onnx', 'export_program', 'export_torchscript']

META = 'mmssl_prior.json'
OPSET = 18
INPUT, OUTPUT = 'images', 'features'
# Without an end, torch 2.5 finds that the largest of all integers would be an exception.
BATCH = torch.export.Dim('batch', max=2**31 - 1)
#: Files of protobuf end at 2 GB: above it weights go into a file beside.
LARGEST = 1_800_000_000


def export_onnx(
    encoder: EncoderWeights, place: Path, meta: dict[str, str]
) -> tuple[float | None, str]:
    """Write an ONNX file; its metadata_props hold ``meta``."""
    _require('onnx', 'onnxscript')
    model, images = encoder.model(), example(encoder)
    # torch 2.5 and before export by tracing; later ones by the compiler's frontend.
    if Version(torch.__version__) < Version('2.7'):
        _trace_onnx(model, images, place, meta)
    else:
        with _without_warnings():
            program: Any = torch.onnx.export(
                model,
                (images,),
                dynamo=True,
                verbose=False,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: BATCH},),
                opset_version=OPSET,
            )
        program.model.metadata_props.update(meta)
        size = sum(value.numel() * value.element_size() for value in model.state_dict().values())
        program.save(place, external_data=size > LARGEST)
    usage = (
        f'session = onnxruntime.InferenceSession({str(place)!r})\n'
        f'features = session.run(None, {{{INPUT!r}: images}})[0]  '
        f'# float32 (B, {len(encoder.mean)}, {images.shape[2]}, {images.shape[3]})'
    )
    if importlib.util.find_spec('onnxruntime') is None:
        return None, usage
    import onnxruntime

    session = onnxruntime.InferenceSession(str(place), providers=['CPUExecutionProvider'])

    def run(x: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {INPUT: x.numpy()})[0])

    return _worst(encoder, model, run), usage


def _trace_onnx(model: nn.Module, images: Tensor, place: Path, meta: dict[str, str]) -> None:
    import onnx

    with _without_warnings():
        torch.onnx.export(
            model,
            (images,),
            str(place),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: 'batch'}, OUTPUT: {0: 'batch'}},
            opset_version=17,
        )
    # Weights of more than 2 GB lie in files beside, which need not be read for this.
    written = onnx.load(str(place), load_external_data=False)
    for key, value in meta.items():
        written.metadata_props.add(key=key, value=value)
    onnx.save(written, str(place))


def export_program(
    encoder: EncoderWeights, place: Path, meta: dict[str, str]
) -> tuple[float | None, str]:
    """Write a ``torch.export`` program; ``meta`` is an extra file in it."""
    model, images = encoder.model(), example(encoder)
    with _without_warnings():
        program = torch.export.export(model, (images,), dynamic_shapes=({0: BATCH},), strict=False)
        torch.export.save(program, place, extra_files={META: json.dumps(meta)})
        theirs = torch.export.load(place).module()
    return _worst(encoder, model, theirs), f'model = torch.export.load({str(place)!r}).module()'


def export_torchscript(
    encoder: EncoderWeights, place: Path, meta: dict[str, str]
) -> tuple[float | None, str]:
    """Write a traced TorchScript module; ``meta`` is an extra file in it."""
    model, images = encoder.model(), example(encoder)
    with _without_warnings(), torch.no_grad():
        traced: Any = torch.jit.trace(model, images, check_trace=False)
        traced.save(str(place), _extra_files={META: json.dumps(meta)})
        theirs = torch.jit.load(str(place))
    return _worst(encoder, model, theirs), f'model = torch.jit.load({str(place)!r})'


def _worst(encoder: EncoderWeights, model: nn.Module, theirs: Any) -> float:
    """The largest difference, on a batch of the size that was exported and on others."""
    return max(largest_difference(model, theirs, example(encoder, size)) for size in (1, 2, 3))


def _require(*names: str) -> None:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f'--to onnx needs {" and ".join(missing)}: pip install '
            f"{' '.join(map(printable, missing))} (or '.[convert]' of this package)"
        )


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Tracers warn of each Python number that they fix; what is fixed here is the image size."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield

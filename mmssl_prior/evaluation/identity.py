"""What features depend on, as short texts: equal content, equal text."""

import hashlib
import pickle
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from torch import nn

from ..errors import UserError

__all__ = ['dataset_digest', 'images_digest', 'listed', 'module_digest', 'pipeline_text']

PLAIN = (int, float, str, bool, type(None))
# What says how a module came to be, or what it does at the moment.
PASSING = {'training', '_is_init', 'name'}
ADDRESS = re.compile(r' at 0x[0-9a-f]+')


def module_digest(module: nn.Module) -> str:
    """Digest of a network: its weights, buffers, module types and plain settings.

    Two networks of the same digest give the same features. Where the weights
    come from, a file's name or the device make no difference.

    Args:
        module: The network.

    Example:
        >>> one, two = nn.ReLU(), nn.ReLU()
        >>> module_digest(one) == module_digest(two), module_digest(one) == module_digest(nn.GELU())
        (True, False)
    """
    digest = hashlib.sha256()
    for name, part in module.named_modules():
        settings = {
            key: value
            for key, value in sorted(vars(part).items())
            if key not in PASSING and _is_plain(value)
        }
        digest.update(f'{name}:{type(part).__qualname__}:{settings}\n'.encode())
        tensors = {**part._parameters, **part._buffers}
        for key, tensor in tensors.items():
            if tensor is not None:
                digest.update(f'{name}.{key}:{tensor.dtype}:{tuple(tensor.shape)}\n'.encode())
                flat = tensor.detach().cpu().contiguous().reshape(-1)
                digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return isinstance(value, PLAIN)


def dataset_digest(dataset: Any) -> str:
    """Digest of a dataset's list: paths (or images in memory) and labels, in order.

    An image that is replaced by another in the file of the same name is not
    noticed.

    Args:
        dataset: Of MMEngine.

    Raises:
        UserError: If it is none.
    """
    if not (hasattr(dataset, 'full_init') and hasattr(dataset, 'get_data_info')):
        raise UserError(
            f'a {type(dataset).__name__} has no list that tells it from others: give a dataset of '
            'MMEngine without a wrapper'
        )
    dataset.full_init()
    digest = hashlib.sha256(f'{type(dataset).__qualname__}:{len(dataset)}\n'.encode())
    data = getattr(dataset, 'data_bytes', None)
    if data is not None and len(data):
        digest.update(memoryview(data))
    else:
        for info in dataset.data_list:
            digest.update(pickle.dumps(info, protocol=4))
    return digest.hexdigest()


def images_digest(dataset: Any) -> str:
    """Digest of a dataset's images alone: paths, or images in memory, in order.

    It is the same for datasets that ask other questions of the same images.

    Args:
        dataset: Of MMEngine.
    """
    digest = hashlib.sha256()
    for info in listed(dataset):
        path = info.get('img_path')
        if path is None:
            image = np.ascontiguousarray(info['img'])
            digest.update(f'{image.dtype}{image.shape}'.encode())
            digest.update(image.data)
        else:
            digest.update(f'{path}\n'.encode(errors='surrogateescape'))
    return digest.hexdigest()


def listed(dataset: Any) -> Iterator[dict[str, Any]]:
    """The annotation of each image in order, in a single pass over MMEngine's byte stream."""
    dataset.full_init()
    plain = isinstance(dataset, BaseDataset) and dataset.serialize_data
    if plain and type(dataset).get_data_info is BaseDataset.get_data_info:
        stream, start = memoryview(dataset.data_bytes), 0
        for end in dataset.data_address.tolist():
            yield pickle.loads(stream[start:end])
            start = end
    else:
        yield from (dataset.get_data_info(i) for i in range(len(dataset)))


def pipeline_text(dataset: Any) -> str:
    """The transforms of a dataset, as they print."""
    return ADDRESS.sub('', repr(getattr(dataset, 'pipeline', None)))

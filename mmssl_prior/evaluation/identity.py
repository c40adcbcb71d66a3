"""What features depend on, as short texts: equal content, equal text."""

import hashlib
import pickle
import re
from typing import Any

import torch
from torch import nn

from ..errors import UserError

__all__ = ['dataset_digest', 'module_digest', 'pipeline_text']

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


def pipeline_text(dataset: Any) -> str:
    """The transforms of a dataset, as they print."""
    return ADDRESS.sub('', repr(getattr(dataset, 'pipeline', None)))

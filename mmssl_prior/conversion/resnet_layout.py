"""ResNets, whose names MMPretrain, torchvision and timm share."""

import re
from collections.abc import Mapping

from torch import Tensor

from ..errors import UserError, printable
from .vit_layout import examples

__all__ = ['is_resnet', 'resnet_depth']

#: Blocks of the four stages, and whether they are bottlenecks.
DEPTHS: dict[tuple[tuple[int, ...], bool], int] = {
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}


def is_resnet(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a ResNet."""
    return 'layer1.0.conv1.weight' in state and 'layer4.0.conv1.weight' in state


def resnet_depth(state: Mapping[str, Tensor], path: object) -> int:
    """The depth of a plain ResNet, every name checked; shapes are when it is loaded.

    Raises:
        UserError: If it is another kind of ResNet, or has too many or too few weights.
    """
    where = f'checkpoint {printable(str(path))}'
    places = {(int(m[1]), int(m[2])) for n in state if (m := re.match(r'layer(\d)\.(\d+)\.', n))}
    blocks = tuple(sum(stage == s for s, _ in places) for stage in (1, 2, 3, 4))
    bottleneck = 'layer1.0.conv3.weight' in state
    depth = DEPTHS.get((blocks, bottleneck))
    if depth is None:
        raise UserError(
            f'{where}: stages of {blocks} blocks are no ResNet of {sorted(DEPTHS.values())} layers'
        )
    stem = tuple(state['conv1.weight'].shape) if 'conv1.weight' in state else 'missing'
    if stem != (64, 3, 7, 7):
        raise UserError(
            f'{where}: conv1.weight: expected shape (64, 3, 7, 7), it is {stem}: another ResNet'
        )
    expected = set(_names(blocks, bottleneck))
    # Files of before PyTorch 0.4.1 do not count batches.
    missing = sorted(n for n in expected - state.keys() if not n.endswith('num_batches_tracked'))
    other = sorted(set(state) - expected)
    for names, verb in ((missing, 'misses'), (other, 'has, beside those of a plain ResNet,')):
        if names:
            raise UserError(f'{where}: it {verb} {examples(names)}: another ResNet')
    return depth


def _names(blocks: tuple[int, ...], bottleneck: bool) -> list[str]:
    norm = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
    names = ['conv1.weight', *(f'bn1.{part}' for part in norm)]
    for stage, count in enumerate(blocks, 1):
        for block in range(count):
            prefix = f'layer{stage}.{block}.'
            for conv in range(1, 4 if bottleneck else 3):
                names.append(f'{prefix}conv{conv}.weight')
                names += [f'{prefix}bn{conv}.{part}' for part in norm]
            if block == 0 and (bottleneck or stage > 1):
                names.append(f'{prefix}downsample.0.weight')
                names += [f'{prefix}downsample.1.{part}' for part in norm]
    return names

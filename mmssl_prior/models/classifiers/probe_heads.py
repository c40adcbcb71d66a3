import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from mmengine import dist
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import UserError
from ..layers import PortableSyncBatchNorm
from .trunk_features import parse_feature

__all__ = ['ProbeHead', 'ProbeHeads', 'top_labels']

NORMS = (None, 'bn', 'ln_l2')
KEYS = {'feature', 'in_channels', 'norm', 'norm_channels', 'name', 'extra'}


class ProbeHead(nn.Module):
    r"""A linear classifier on one feature.

    .. math::
        \text{None: } W x + b, \qquad
        \text{'bn': } W\, \mathrm{BN}(x) + b, \qquad
        \text{'ln_l2': } W \frac{\mathrm{LN}(x)}{\| \mathrm{LN}(x) \|_2} + b

    BN (affine, eps 1e-5, momentum 0.1, over the batch of all ranks) and no
    norm are VISSL's heads, with torch's initial weights; LN and L2 norm are
    MSN's, with weights from N(0, 0.01^2) and biases 0. A batch that holds a
    single feature, which has no variance, is normalised with the running
    statistics.

    Args:
        in_channels: Width D of the feature.
        num_classes: Of the classifier.
        norm: None, 'bn' or 'ln_l2'.
        norm_channels: Channels of the batch norm, for a flattened map whose
            positions share theirs (VISSL's 8192 = 2048 x 2 x 2); D by default.
        sync: Whether batch statistics are those of all ranks.

    Raises:
        UserError: For another norm, norm_channels that do not divide D, or
            features of another width.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        norm: str | None = None,
        norm_channels: int | None = None,
        sync: bool = True,
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise UserError(f'norm of a head must be one of {NORMS}, got {norm!r}')
        channels = norm_channels or in_channels
        if in_channels % channels or (norm != 'bn' and channels != in_channels):
            raise UserError(
                f'norm_channels={norm_channels} must divide in_channels={in_channels}, and is for '
                "norm='bn'"
            )
        self.in_channels, self.channels, self.kind = in_channels, channels, norm
        self.norm: nn.Module = nn.Identity()
        if norm == 'bn':
            batch_norm = PortableSyncBatchNorm if sync else nn.BatchNorm1d
            self.norm = batch_norm(channels, eps=1e-5, momentum=0.1)
        elif norm == 'ln_l2':
            self.norm = nn.LayerNorm(in_channels)
        self.linear = nn.Linear(in_channels, num_classes)

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        """Draw the initial weights."""
        weight, bias = self.linear.weight, self.linear.bias
        if self.kind == 'ln_l2':
            weight.copy_(
                torch.empty(weight.shape, device='cpu').normal_(0, 0.01, generator=generator)
            )
            bias.zero_()
            return
        bound = 1 / math.sqrt(self.in_channels)
        for param in (weight, bias):
            param.copy_(
                torch.empty(param.shape, device='cpu').uniform_(-bound, bound, generator=generator)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes) of features (B, D)."""
        if x.ndim != 2 or x.shape[1] != self.in_channels:
            raise UserError(
                f'the feature is of shape {tuple(x.shape)}, but its head has '
                f'in_channels={self.in_channels}: set that to the width of the feature'
            )
        if self.kind == 'bn':
            x = self._batch_norm(x)
        elif self.kind == 'ln_l2':
            x = F.normalize(self.norm(x), dim=1)
        return self.linear(x)

    def _batch_norm(self, x: Tensor) -> Tensor:
        maps = x.view(len(x), self.channels, -1)
        alone = len(x) == 1 and maps.shape[2] == 1 and self.training
        if alone and not _several_ranks(self.norm):
            self.norm.eval()
            try:
                return self.norm(maps).flatten(1)
            finally:
                self.norm.train()
        return self.norm(maps).flatten(1)


class ProbeHeads(nn.Module):
    """Heads that are trained side by side, each with its own learning rate.

    Each config is made once for each learning rate. Names are the config's
    ``name``, or else the feature and the norm (``cls4_bn``), with the
    multiplier of the learning rate behind if there are several
    (``cls4_bn_x0.3``). Initial weights are a function of the seed and the
    config's name: they do not depend on the other heads, and copies with
    other learning rates start alike.

    A head with ``extra=True`` is none of the recipe's: it is trained and scored
    like the others, and never chosen as the best.

    Args:
        heads: Configs: ``feature``, a name of :func:`trunk_features`,
            ``in_channels``, and optionally ``norm``, ``norm_channels``,
            ``name`` and ``extra``.
        num_classes: Of every head.
        lr_multipliers: Factors of the optimizer's learning rate.
        seed: Of the initial weights.
        sync: As for :class:`ProbeHead`.

    Raises:
        UserError: If there is no head or a config is malformed, two have one
            name, all are extra, or a multiplier is not positive.
    """

    def __init__(
        self,
        heads: Sequence[Mapping[str, Any]],
        num_classes: int,
        lr_multipliers: Sequence[float] = (1.0,),
        seed: int = 0,
        sync: bool = True,
    ) -> None:
        super().__init__()
        if not heads or num_classes < 2:
            raise UserError('a linear probe needs at least one head and two classes')
        if not lr_multipliers or any(not factor > 0 for factor in lr_multipliers):
            raise UserError(f'lr_multipliers must be positive, got {list(lr_multipliers)}')
        self.seed = seed
        self.by_key = nn.ModuleDict()
        self.features: dict[str, str] = {}
        self.factors: dict[str, float] = {}
        self.extra: list[str] = []
        self._origin: dict[str, str] = {}
        for cfg in heads:
            origin = _name(cfg)
            for factor in lr_multipliers:
                name = origin if len(lr_multipliers) == 1 else f'{origin}_x{factor:g}'
                if name in self.features:
                    raise UserError(f'two heads are called {name!r}: give one another `name`')
                options = {k: v for k, v in cfg.items() if k not in ('feature', 'name', 'extra')}
                self.by_key[_key(name)] = ProbeHead(num_classes=num_classes, sync=sync, **options)
                self.features[name] = cfg['feature']
                self.factors[name] = float(factor)
                self._origin[name] = origin
                if cfg.get('extra'):
                    self.extra.append(name)
        if len(self.extra) == len(self.features):
            raise UserError('every head is extra: one must not be, which is reported')
        self.reset()

    @property
    def names(self) -> list[str]:
        """Of the heads, in order."""
        return list(self.features)

    def reset(self) -> None:
        """Draw all initial weights anew, the same as before."""
        for name, head in self.items():
            # torch's generator heeds 32 bits of a seed.
            mixed = zlib.crc32(f'{self.seed}:{self._origin[name]}'.encode())
            head.reset(torch.Generator().manual_seed(mixed))

    def items(self) -> Iterator[tuple[str, ProbeHead]]:
        """Names and heads."""
        for name in self.features:
            head = self.by_key[_key(name)]
            assert isinstance(head, ProbeHead)
            yield name, head

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits (B, num_classes) of each head."""
        return {name: head(features[self.features[name]]) for name, head in self.items()}

    def param_groups(
        self,
        lr: float,
        weight_decay: float,
        regularize_bn: bool,
        names: Iterable[str] | None = None,
    ) -> list[dict]:
        """Groups for torch's optimizers: each head its rate, the norms' parameters their decay.

        Args:
            lr: To which each head's multiplier applies.
            weight_decay: Of weights and biases.
            regularize_bn: Whether it is that of the norms, too.
            names: Of the heads; all by default.
        """
        groups = []
        chosen = set(self.names if names is None else names)
        for name, head in self.items():
            if name not in chosen:
                continue
            rate = lr * self.factors[name]
            linear, norm = list(head.linear.parameters()), list(head.norm.parameters())
            groups.append(dict(params=linear, lr=rate, weight_decay=weight_decay, name=name))
            if norm:
                decay = weight_decay if regularize_bn else 0.0
                groups.append(dict(params=norm, lr=rate, weight_decay=decay, name=f'{name}.norm'))
        return groups


def top_labels(logits: Tensor) -> Tensor:
    """The five most probable labels, or of up to five classes the most probable one.

    Args:
        logits: Shape (..., C).

    Returns:
        Shape (..., 5) or (..., 1).

    Example:
        >>> top_labels(torch.tensor([[0.0, 2.0, 1.0]]))
        tensor([[1]])
    """
    return logits.topk(5 if logits.shape[-1] > 5 else 1, -1).indices


def _name(cfg: Mapping[str, Any]) -> str:
    unknown = set(cfg) - KEYS
    if unknown or not {'feature', 'in_channels'} <= set(cfg):
        raise UserError(
            'a head needs feature and in_channels, and may have norm, norm_channels, name and '
            f'extra; got {sorted(cfg)}'
        )
    parse_feature(cfg['feature'])
    norm = cfg.get('norm')
    return str(cfg.get('name') or (f'{cfg["feature"]}_{norm}' if norm else cfg['feature']))


def _key(name: str) -> str:
    """A module's name must not hold a dot."""
    return name.replace('.', 'p')


def _several_ranks(norm: nn.Module) -> bool:
    return isinstance(norm, PortableSyncBatchNorm) and dist.get_world_size() > 1

"""What a user names on the command line as something to evaluate: its config, name and identity."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import Tensor

from ..config import checkpoint_weights, literal_config, read_checkpoint, safe_reading
from ..errors import UserError, printable

__all__ = ['EncoderSource', 'literal_config', 'named_apart', 'read_source']

TIMM = 'timm:'
#: What may differ between two seeds of one run: how it was started and watched, and where.
PER_RUN = {
    'auto_resume',
    'data_root',
    'default_hooks',
    'env_cfg',
    'experiment_name',
    'launcher',
    'log_level',
    'log_processor',
    'num_workers',
    'persistent_workers',
    'pin_memory',
    'prefetch_factor',
    'randomness',
    'resume',
    'vis_backends',
    'visualizer',
    'work_dir',
}


@dataclass(frozen=True)
class EncoderSource:
    """Where an encoder comes from.

    Args:
        name: Label of its row, unique in a report.
        path: The checkpoint; empty for random weights.
        group: What it shares with other seeds of the same run: config and epoch.
        digest: SHA-256 of the file, or the name of a model without one.
        cfg: Config of the run, or None for a model of timm.
        timm: Name of timm's model, or empty.
        seed: Of the run, if it is known.
        run: What sets runs of one group apart that are no seeds of each
            other: a digest of the config without seeds, or of timm's file.
    """

    name: str
    path: str
    group: str
    digest: str
    cfg: Config | None = None
    timm: str = ''
    seed: int | None = None
    run: str = ''

    def weights(self) -> dict[str, Tensor]:
        """The checkpoint's weights; empty without one."""
        if self.timm and self.path:
            return _timm_weights(self.path)
        return checkpoint_weights(read_checkpoint(self.path)) if self.path else {}


def read_source(spec: str, config: Config | None = None) -> EncoderSource:
    """Read the argument of a command line.

    Args:
        spec: A checkpoint of this package or of MMPretrain; ``timm:NAME`` for
            random weights, ``timm:NAME=FILE`` for those of a local file.
        config: For a checkpoint without a config of its own.

    Raises:
        UserError: If the file is missing or unreadable, holds no config and
            none is given, or timm has no such model.
    """
    if spec.startswith(TIMM):
        return _timm_source(spec)
    content = read_checkpoint(spec)
    meta = content.get('meta')
    meta = meta if isinstance(meta, Mapping) else {}
    cfg = config or _own_config(meta, spec)
    # The Runner puts the time behind the config's name.
    named = re.sub(r'_\d{8}_\d{6}$', '', str(meta.get('experiment_name') or ''))
    config_name = named or Path(str(cfg.filename or '')).stem or Path(spec).resolve().parent.name
    epoch = meta.get('epoch')
    group = f'{config_name} (epoch {epoch})' if epoch is not None else config_name
    seed = meta.get('seed')
    return EncoderSource(
        name=f'{Path(spec).resolve().parent.name}/{Path(spec).stem}',
        path=str(Path(spec).expanduser()),
        group=group,
        digest=_digest(spec),
        cfg=cfg,
        seed=seed if isinstance(seed, int) else None,
        run=_run(cfg),
    )


def named_apart(sources: Iterable[EncoderSource]) -> list[EncoderSource]:
    """The sources with one name each: ``run/epoch_3`` of another folder is ``run/epoch_3-2``."""
    named: dict[str, EncoderSource] = {}
    for source in sources:
        name, count = source.name, 1
        while name in named:
            count += 1
            name = f'{source.name}-{count}'
        named[name] = replace(source, name=name)
    return list(named.values())


def _run(cfg: Config) -> str:
    values = cfg.to_dict()
    if values.get('resume'):
        # The run's own checkpoint; else it is what the run started from.
        values.pop('load_from', None)
    return hashlib.sha256(repr(_seedless(values)).encode()).hexdigest()


def _seedless(value: Any) -> Any:
    """A config in a fixed order, without what differs between two seeds of a run."""
    if isinstance(value, Mapping):
        named = {str(key): item for key, item in value.items()}
        return [
            (key, _seedless(named[key]))
            for key in sorted(named)
            if key not in PER_RUN and key != 'seed' and not key.endswith('_seed')
        ]
    return [_seedless(item) for item in value] if isinstance(value, (list, tuple)) else value


def _own_config(meta: Mapping, path: str) -> Config:
    text = meta.get('cfg')
    if not isinstance(text, str):
        raise UserError(
            f'checkpoint {printable(path)}: holds no config (meta.cfg), so its model is unknown; '
            'give the config that it was trained with: --config FILE'
        )
    return Config(literal_config(text, path))


def _timm_source(spec: str) -> EncoderSource:
    import timm

    name, _, path = spec.removeprefix(TIMM).partition('=')
    if not timm.is_model(name):
        raise UserError(
            f'{spec}: timm {timm.__version__} has no model {name!r}; timm.list_models lists them'
        )
    if path and not Path(path).expanduser().is_file():
        raise UserError(f'{spec}: checkpoint {printable(path)}: no such file')
    label = f'{name}/{Path(path).stem}' if path else f'{name}/random'
    digest = _digest(path) if path else f'{spec} random'
    # What its files share is unknown: each is a run of its own.
    return EncoderSource(label, path, f'timm {name}', digest, timm=name, run=digest)


def _timm_weights(path: str) -> dict[str, Tensor]:
    from timm.models import load_state_dict

    try:
        with safe_reading():
            state = load_state_dict(str(Path(path).expanduser()), use_ema=False)
    except Exception as error:  # torch and safetensors each have errors of their own
        reason = str(error).split('\n')[0]
        raise UserError(
            f'checkpoint {printable(path)}: not readable as weights of timm ({reason})'
        ) from error
    return {f'timm_model.{key}': value for key, value in state.items()}


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(Path(path).expanduser(), 'rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()

"""Digests that say whether two runs are the same: of what is trained, and of what is measured."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..config.overrides import runner_keys
from .code import CodeTree, file_digest

__all__ = ['TRAINING_ROOMS', 'config_identity', 'evaluated_digest', 'trained_digest']

TRAINING_ROOMS = ('functional', 'models', 'datasets', 'engine')
MEASURING_ROOMS = (*TRAINING_ROOMS, 'evaluation', 'insight', 'study', 'cli')
MEASURING = ('evaluation.downstream', 'study.metrics', 'study.structure')
# Trains the linear probe of the other protocols.
BY_CONFIG = 'cli.probe_by_config'
#: Where things lie, how a run is started and what it writes; anywhere in a config.
ELSEWHERE = {
    'work_dir',
    'data_root',
    'resume',
    'launcher',
    'experiment_name',
    'log_level',
    'log_processor',
    'visualizer',
    'env_variables',
}
WEIGHTS = ('load_from', 'checkpoint')
#: Arguments of an evaluation that change no number.
WITHOUT_EFFECT = {'data_root', 'data', 'batch_size', 'workers'}
#: Keys of a config that an evaluation reads beside those of the Runner.
READ_LATER = {'test_pipeline', 'custom_imports'}


def config_identity(cfg: Config) -> str:
    """What a config makes of a training, as text: the same for the same training.

    Sorted, without the variables of the file that nothing reads, and without
    where things lie. A file of weights counts by its content.

    Args:
        cfg: With its overrides.
    """
    values = cfg.to_dict()
    read = runner_keys() | READ_LATER
    if 'runner_type' not in values:
        # A custom runner may read keys of its own.
        values = {key: value for key, value in values.items() if key in read}
    return json.dumps(_plain(values), sort_keys=True)


def _plain(value: Any, key: str = '') -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v, str(k)) for k, v in value.items() if k not in ELSEWHERE}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, str) and key in WEIGHTS and Path(value).is_file():
        return _sha(Path(value).read_bytes())
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    name = getattr(value, '__qualname__', None)
    return f'{value.__module__}.{name}' if name else repr(value)


def trained_digest(
    cfg: Config, environment: Mapping[str, str], launch: str | None, tree: CodeTree
) -> tuple[str, str]:
    """Digest of a training, and of the code behind it.

    Args:
        cfg: With its overrides, read under the run's seed.
        environment: Variables that are set, without the seed's, which counts
            by what the config makes of it.
        launch: Command that trains; how many ranks it starts counts.
        tree: The package.
    """
    values = cfg.to_dict()
    top, imported = f'{tree.root.name}.', _imported(values)
    # Modules of this package that a config imports by name lie in other rooms.
    own = [name for name in imported if name in tree.files and name.startswith(top)]
    rooms = (*TRAINING_ROOMS, *(name.removeprefix(top) for name in own))
    code = tree.digest(tree.reached(_names(values), own, rooms))
    others = [name for name in imported if not f'{name}.'.startswith(top)]
    code = _digest([code, *(file_digest(name) for name in others)]) if others else code
    return _digest([config_identity(cfg), sorted(environment.items()), launch, code]), code


def evaluated_digest(
    trained: str, evaluation: Mapping[str, Any], datasets: set[str], tree: CodeTree
) -> str:
    """Digest of what is measured of a training.

    Args:
        trained: Digest of the training.
        evaluation: Arguments of ``tools/evaluate.py``.
        datasets: Names of the tasks' dataset classes.
        tree: The package.
    """
    by_config = evaluation.get('protocol', 'fast') != 'fast'
    roots = [f'{tree.root.name}.{name}' for name in (*MEASURING, *([BY_CONFIG] * by_config))]
    # Its texts name the datasets of all tasks: only those that are asked for count.
    modules = tree.reached(modules=roots, rooms=MEASURING_ROOMS, texts=False)
    modules |= tree.reached(datasets, rooms=('datasets',))
    settings = {key: value for key, value in evaluation.items() if key not in WITHOUT_EFFECT}
    settings['tasks'] = sorted(settings.get('tasks', ()))
    if settings.get('measures'):
        settings['measures'] = sorted(settings['measures'])
    return _digest([trained, settings, tree.digest(modules)])


def _names(value: Any) -> Iterator[str]:
    """Every name in a config that may be a class's, without its scope."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _names(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _names(item)
    elif isinstance(value, str):
        yield value.rpartition('.')[2]
    elif isinstance(value, type):
        yield value.__name__


def _imported(values: Mapping[str, Any]) -> list[str]:
    imports = (values.get('custom_imports') or {}).get('imports') or ()
    return [imports] if isinstance(imports, str) else list(imports)


def _digest(value: Any) -> str:
    return _sha(json.dumps(value, sort_keys=True).encode())[:16]


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

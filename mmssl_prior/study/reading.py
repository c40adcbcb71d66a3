"""Reading a study file, and finding its mistakes before anything runs."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import load_config, package_root
from ..errors import UserError, printable
from ..evaluation.task_scores import MEASURES
from ..evaluation.tasks import select_tasks
from .options import option_words
from .study import Grid, Level, Study

__all__ = ['read_study']

REQUIRED = ('title', 'question', 'factors', 'grids', 'evaluation')
FOR_REPORT = ('metrics', 'contrasts')
KEYS = (*REQUIRED, 'options', 'seed_variable', 'launch', *FOR_REPORT)
LEVEL_KEYS = ('config', 'options', 'environment')
GRID_KEYS = ('name', 'levels', 'seeds')
#: Arguments of tools/evaluate.py that a study may give.
EVALUATION_KEYS = (
    'tasks',
    'measures',
    'protocol',
    'data_root',
    'data',
    'low_shot_list',
    'image_size',
    'groups',
    'probe_features',
    'lr_multipliers',
    'batch_size',
    'workers',
)


def read_study(path: str | Path) -> Study:
    """Read a study file.

    Args:
        path: Python, read as a config is: ``_base_`` and ``{{$VARIABLE:default}}``
            work; names that begin with an underscore are the file's own.
            Configs are named relative to it, or from the top of the checkout
            (``configs/...``).

    Raises:
        UserError: With file and field, if it is missing, does not evaluate,
            or says something wrong.
    """
    cfg = load_config(path)
    path = Path(cfg.filename)
    said = {key: value for key, value in cfg.to_dict().items() if not key.startswith('_')}
    said.pop('env_variables', None)
    _known(said, KEYS, str(path), 'the file')
    for key in REQUIRED:
        if not said.get(key):
            raise UserError(f'{path}: {key} is missing')
    for key, kind in (('title', str), ('question', str), ('seed_variable', str)):
        if not isinstance(said.get(key, ''), kind):
            raise UserError(f'{path}: {key} must be text, got {said[key]!r}')
    factors = {
        _named(name, f'{path}: factors'): _factor(levels, name, path)
        for name, levels in _mapping(said['factors'], f'{path}: factors').items()
    }
    launch = said.get('launch')
    if launch is not None and (not isinstance(launch, str) or '{config}' not in launch):
        raise UserError(
            f'{path}: launch must be a command with {{config}} in it, or None, got {launch!r}'
        )
    grids = said['grids']
    if not isinstance(grids, (list, tuple)):
        raise UserError(f'{path}: grids must be a list of dict(levels=..., seeds=...)')
    read = tuple(_grid(grid, number, factors, path) for number, grid in enumerate(grids, 1))
    names = [grid.name for grid in read]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f'{path}: two grids have the name {name!r}')
    evaluation = _mapping(said['evaluation'], f'{path}: evaluation')
    return Study(
        path=path,
        title=said['title'],
        question=said['question'],
        factors=factors,
        words=option_words(
            _mapping(said.get('options') or {}, f'{path}: options'), f'{path}: options'
        ),
        seed_variable=said.get('seed_variable', 'SEED'),
        grids=read,
        evaluation=_evaluation(evaluation, path),
        launch=launch,
        **{key: said.get(key) for key in FOR_REPORT},
    )


def _known(items: Iterable, known: Sequence[str], where: str, what: str) -> None:
    for key in items:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f'did you mean {near[0]}?' if near else f'it takes {", ".join(known)}'
            own = '; a name of your own begins with an underscore' if what == 'the file' else ''
            raise UserError(f'{where}: {what} has no field {key!r} ({hint}){own}')


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f'{where} must be a dict, got {value!r}')
    return value


def _named(name: Any, where: str) -> str:
    if not isinstance(name, str) or not name or name in ('seed',):
        raise UserError(f'{where}: {name!r} cannot be the name of a factor')
    return name


def _factor(levels: Any, name: str, path: Path) -> dict[str, Level]:
    where = f'{path}: factors.{name}'
    if not _mapping(levels, where):
        raise UserError(f'{where} has no levels')
    read = {}
    for level, content in levels.items():
        field = f'{where}.{level}'
        _known(_mapping(content, field), LEVEL_KEYS, field, 'a level')
        environment = _mapping(content.get('environment') or {}, f'{field}.environment')
        read[str(level)] = Level(
            config=_config(content['config'], path, field) if content.get('config') else None,
            words=option_words(
                _mapping(content.get('options') or {}, f'{field}.options'), f'{field}.options'
            ),
            environment={str(key): str(value) for key, value in environment.items()},
        )
    return read


def _config(name: Any, path: Path, where: str) -> Path:
    """A config by its path from the study file, else from here or the top of the checkout."""
    candidates = [path.parent / str(name), Path(str(name)), package_root() / str(name)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve()
    raise UserError(f'{where}.config: {printable(candidates[0])}: no such file')


def _grid(grid: Any, number: int, factors: Mapping[str, Mapping[str, Level]], path: Path) -> Grid:
    where = f'{path}: grids[{number - 1}]'
    _known(_mapping(grid, where), GRID_KEYS, where, 'a grid')
    given = _mapping(grid.get('levels') or {}, f'{where}.levels')
    _known(given, tuple(factors), f'{where}.levels', 'the study')
    levels: dict[str, tuple[str, ...]] = {}
    for factor, known in factors.items():
        # A factor that is not named stays at its first level.
        names = given.get(factor, [next(iter(known))])
        names = [names] if isinstance(names, str) else names
        if not isinstance(names, (list, tuple)) or not names:
            raise UserError(f'{where}.levels.{factor} must be a list of levels, got {names!r}')
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(str(name), list(known), n=1)
                hint = f'did you mean {near[0]}?' if near else f'it has {", ".join(known)}'
                raise UserError(f'{where}.levels.{factor}: no level {name!r} ({hint})')
            if list(names).count(name) > 1:
                raise UserError(f'{where}.levels.{factor} names {name!r} twice')
        levels[factor] = tuple(names)
    return Grid(str(grid.get('name') or number), levels, _seeds(grid.get('seeds'), where))


def _seeds(value: Any, where: str) -> tuple[int, ...]:
    if _is_count(value) and value > 0:
        return tuple(range(value))
    if isinstance(value, (list, tuple)) and value and all(map(_is_count, value)):
        if len(set(value)) == len(value):
            return tuple(value)
        raise UserError(f'{where}.seeds names a seed twice: {list(value)}')
    raise UserError(f'{where}.seeds must be a number of seeds or a list of them, got {value!r}')


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _evaluation(given: Mapping[str, Any], path: Path) -> dict[str, Any]:
    where = f'{path}: evaluation'
    _known(given, EVALUATION_KEYS, where, 'it')
    if not given.get('tasks'):
        raise UserError(f'{where}.tasks is missing: name tasks of tools/evaluate.py')
    for key in ('tasks', 'measures'):
        names = given.get(key)
        if names is not None and not isinstance(names, (list, tuple)):
            raise UserError(f'{where}.{key} must be a list, got {names!r}')
    try:
        select_tasks(given['tasks'])
    except UserError as error:
        raise UserError(f'{where}.tasks: {error}') from error
    _known(given.get('measures') or (), MEASURES, f'{where}.measures', 'an evaluation')
    return dict(given)

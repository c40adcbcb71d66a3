"""The runs of a study: its grids as cells, and what identifies each run."""

import copy
import logging
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config
from mmengine.logging import MMLogger

from ..config import apply_overrides, load_config, package_root, parse_overrides
from ..errors import UserError
from ..evaluation.tasks import select_tasks
from .code import CodeTree, package_code
from .identity import evaluated_digest, trained_digest
from .study import Level, Study

__all__ = ['Cell', 'Run', 'is_current', 'study_cells', 'study_runs']


@dataclass(frozen=True)
class Run:
    """One training and its evaluation.

    Args:
        config: The config file.
        name: Of the config in rows: its path in the package, or its file's name.
        words: Words of ``--cfg-options``.
        environment: Variables that are set, the seed's included.
        seed: The seed.
        launch: Command that trains, or None.
        trained: Digest of what is trained, 16 hexadecimal digits.
        evaluated: Digest of what is measured of it.
        code: Digest of the code that trains.
    """

    config: Path
    name: str
    words: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    seed: int
    launch: str | None
    trained: str
    evaluated: str
    code: str

    @property
    def options(self) -> str:
        """The overrides as they stand in a row."""
        return shlex.join(self.words)

    @property
    def variables(self) -> str:
        """The environment as it stands in a row and before a command."""
        return ' '.join(f'{key}={shlex.quote(value)}' for key, value in self.environment)

    def arguments(self, work_dir: str | Path) -> list[str]:
        """Arguments of ``tools/train.py`` behind the config."""
        options = ['--cfg-options', *self.words] if self.words else []
        return ['--work-dir', str(work_dir), '--resume', *options]

    def launched(self, work_dir: str | Path) -> list[str]:
        """The command that trains, as words."""
        launch = self.launch or 'python tools/train.py {config}'
        start = [word.replace('{config}', shown(self.config)) for word in shlex.split(launch)]
        return [*start, *self.arguments(work_dir)]

    def command(self, work_dir: str | Path) -> str:
        """What to type for this training."""
        return f'{self.variables} {shlex.join(self.launched(work_dir))}'.strip()


class Cell(NamedTuple):
    """A run in its place in the study: level by factor. Several cells may share a run."""

    factors: dict[str, str]
    run: Run


def shown(path: Path) -> str:
    """A path as a user would type it here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def study_cells(study: Study, only: str | None = None) -> list[Cell]:
    """The cells of a study, seed by seed, so that an early end leaves whole comparisons.

    Args:
        study: The study.
        only: Name of a grid; by default all. A cell of several grids comes once.

    Raises:
        UserError: If there is no such grid, a cell has no config or two, two
            of its levels disagree, an override is wrong, or a config does not
            read the seed.
    """
    grids = [grid for grid in study.grids if only in (None, grid.name)]
    if not grids:
        names = ', '.join(grid.name for grid in study.grids)
        raise UserError(f'{study.path}: no grid {only!r}; it has {names}')
    places: dict[tuple, None] = {}
    for grid in grids:
        for levels in _product(list(grid.levels.items())):
            places.update({(seed, tuple(levels.items())): None for seed in grid.seeds})
    # Stable: within a seed the order of the file.
    ordered = sorted(places, key=lambda place: place[0])
    maker = _Maker(study, package_code())
    cells = [Cell(dict(levels), maker.run(dict(levels), seed)) for seed, levels in ordered]
    _check_seeds(study, cells)
    return cells


def study_runs(cells: Sequence[Cell]) -> list[Run]:
    """The runs behind cells, each once, in their order."""
    return list({cell.run.evaluated: cell.run for cell in cells}.values())


def is_current(study: Study, cell: Cell) -> bool:
    """Whether config and code, as they lie on the disk now, are still those of a cell."""
    maker = _Maker(study, CodeTree(package_code().root))
    try:
        run = maker.run(cell.factors, cell.run.seed)
    except UserError:
        return False
    return (run.trained, run.evaluated) == (cell.run.trained, cell.run.evaluated)


def _product(levels: list[tuple[str, tuple[str, ...]]]) -> Iterator[dict[str, str]]:
    if not levels:
        yield {}
        return
    (factor, names), *rest = levels
    for name in names:
        for others in _product(rest):
            yield {factor: name, **others}


def _check_seeds(study: Study, cells: Sequence[Cell]) -> None:
    seeds: dict[str, int] = {}
    for cell in cells:
        seed = seeds.setdefault(cell.run.trained, cell.run.seed)
        if seed != cell.run.seed:
            raise UserError(
                f'{study.path}: {cell.run.name} is the same under {study.seed_variable}={seed} and '
                f'{study.seed_variable}={cell.run.seed}: nothing in it reads the variable '
                f"(randomness = dict(seed=int('{{{{${study.seed_variable}:0}}}}')) would)"
            )


class _Maker:
    """Runs of cells; configs are read once for each seed, not for each override."""

    def __init__(self, study: Study, tree: CodeTree) -> None:
        self.study, self.tree = study, tree
        self.configs: dict[tuple, Config] = {}
        self.datasets = {task.dataset for task in select_tasks(study.evaluation['tasks'])}

    def run(self, names: Mapping[str, str], seed: int) -> Run:
        levels = {
            f'{factor}.{name}': self.study.factors[factor][name] for factor, name in names.items()
        }
        where = f'{self.study.path}: {" ".join(levels)}'
        config = self._config(levels, where)
        words = {**self.study.words, **_joined(levels, 'words', where)}
        own = _joined(levels, 'environment', where)
        variable = self.study.seed_variable
        if variable in own:
            raise UserError(f'{where}: {variable} is the seed variable; no level may set it')
        environment = {**own, variable: str(seed)}
        cfg = copy.deepcopy(self._read(config, environment))
        try:
            apply_overrides(cfg, parse_overrides(list(words.values())))
        except UserError as error:
            raise UserError(f'{where}: {error}') from error
        trained, code = trained_digest(cfg, own, self.study.launch, self.tree)
        evaluated = evaluated_digest(trained, self.study.evaluation, self.datasets, self.tree)
        return Run(
            config=config,
            name=_name(config),
            words=tuple(words.values()),
            environment=tuple(sorted(environment.items())),
            seed=seed,
            launch=self.study.launch,
            trained=trained,
            evaluated=evaluated,
            code=code,
        )

    def _config(self, levels: Mapping[str, Level], where: str) -> Path:
        configs = {name: level.config for name, level in levels.items() if level.config}
        if len(configs) != 1:
            named = ', '.join(configs) or 'none of them'
            raise UserError(f'{where}: exactly one level gives the config; here {named} does')
        (config,) = configs.values()
        assert config is not None
        return config

    def _read(self, config: Path, environment: Mapping[str, str]) -> Config:
        key = (config, *sorted(environment.items()))
        if key not in self.configs:
            with _environment(environment), _quietly():
                self.configs[key] = load_config(config)
        return self.configs[key]


def _joined(levels: Mapping[str, Level], field: str, where: str) -> dict[str, str]:
    """What the levels set; no two of them the same key."""
    joined: dict[str, str] = {}
    owner: dict[str, str] = {}
    for name, level in levels.items():
        for key, text in getattr(level, field).items():
            if key in joined:
                raise UserError(f'{where}: {owner[key]} and {name} both set {key}')
            joined[key], owner[key] = text, name
    return joined


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


@contextmanager
def _quietly() -> Iterator[None]:
    """Without MMEngine's line on each variable that a config reads."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _name(config: Path) -> str:
    root = package_root()
    return str(config.relative_to(root)) if config.is_relative_to(root) else config.name

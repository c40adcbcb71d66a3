"""A study: a question, factors with levels, and the grids of them that are run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ['Grid', 'Level', 'Study']


class Level(NamedTuple):
    """What one level of a factor brings to a run.

    Attributes:
        config: The config file, or None.
        words: Words of ``--cfg-options``, by key.
        environment: Variables that are set.
    """

    config: Path | None
    words: Mapping[str, str]
    environment: Mapping[str, str]


class Grid(NamedTuple):
    """All combinations of some levels, each with every seed.

    Attributes:
        name: For ``--only``.
        levels: Names of levels by factor, for every factor of the study.
        seeds: Of each combination.
    """

    name: str
    levels: Mapping[str, tuple[str, ...]]
    seeds: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Study:
    """What a study file says.

    Args:
        path: The file.
        title: Of the study.
        question: In one sentence.
        factors: Levels by name, by factor.
        words: Words of ``--cfg-options`` of every run, by key.
        seed_variable: Variable of the environment that holds a run's seed.
        grids: What is run.
        evaluation: Arguments of ``tools/evaluate.py`` by name.
        launch: Command that trains, with ``{config}`` in it; None for
            ``tools/train.py`` in a process of the runner.
        metrics: For the report, as the file has it.
        contrasts: For the report, as the file has it.
    """

    path: Path
    title: str
    question: str
    factors: Mapping[str, Mapping[str, Level]]
    words: Mapping[str, str]
    seed_variable: str
    grids: tuple[Grid, ...]
    evaluation: Mapping[str, Any]
    launch: str | None = None
    metrics: Any = None
    contrasts: Any = None

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

"""What one run of a study measured."""

from typing import NamedTuple

__all__ = ['Observation']


class Observation(NamedTuple):
    """Numbers of one finished run of a study.

    Args:
        factors: Level of each factor of the study, by name of the factor, in the study's order.
        seed: Of the run; runs of one seed are paired in comparisons.
        metrics: Value by name, such as ``patterns/linear``. Accuracies are
            fractions in [0, 1]. What was not measured is left out; what has no
            finite value (of a model that diverged) is not a number.

    Example:
        >>> Observation(dict(method='msn', batches='few'), 3, {'patterns/knn10': 0.5}).seed
        3
    """

    factors: dict[str, str]
    seed: int
    metrics: dict[str, float]

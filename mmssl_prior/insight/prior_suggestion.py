"""From estimates of class sizes to lines for a config, and a sentence that says how sure."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ..functional import entropy, power_law_prior
from .cluster_sizes import ClusterSizes
from .prior_fit import PriorFit
from .prototype_spread import fitted_exponent, merged_classes, spread_classes

__all__ = ['Suggestion', 'suggest_from_clusters', 'suggest_from_counts']

#: How finely large classes are divided: not more finely; as a quantiser of two dimensions would.
SPLITS = {'equally many for each class': 0.0, 'more for large classes (alpha 1/2)': 0.5}
DEFAULT = 0.25
#: Beyond it most prototypes are next to never asked for.
STEEP = 1.0
#: Part of the uniform law's deviance that a law must explain to stand in for the counts.
EXPLAINED = 0.9


class Suggestion(NamedTuple):
    """What to put into a config.

    Attributes:
        verdict: One line: the range, and why it is no narrower.
        exponent: To try first, over K prototypes; None where nothing is known.
        low: Lower end over the assumptions and the intervals.
        high: Upper end.
        num_prototypes: K.
        assumptions: Exponent over K by how classes are divided among them.
        lines: For the config.
        notes: What else to know.
    """

    verdict: str
    exponent: float | None
    low: float | None
    high: float | None
    num_prototypes: int
    assumptions: dict[str, float]
    lines: list[str]
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self._asdict()


def suggest_from_counts(
    fit: PriorFit, num_prototypes: int, counts_file: str | None = None
) -> Suggestion:
    """Suggestion from known class sizes.

    Args:
        fit: Of the counts.
        num_prototypes: K.
        counts_file: Where the counts are, or will be, for the config.
    """
    tau, counts, k = fit.power_law, fit.counts[fit.counts > 0], num_prototypes
    classes = len(counts)
    fits = fit.accepted or fit.law('power law').explained >= EXPLAINED
    by_law = fit.accepted or tau.estimate == 0
    # Where the law holds it is better than the counts, whose ranking is partly chance.
    sizes = power_law_prior(classes, tau.estimate) if by_law else torch.from_numpy(counts * 1.0)
    assumptions = _assumptions(sizes, k)
    ends = [
        fitted_exponent(spread_classes(power_law_prior(classes, end), k, split))
        for end, split in ((tau.low, 0.5), (tau.high, 0.0))
    ]
    low, high = min(ends[0], *assumptions.values()), max(ends[1], *assumptions.values())
    over = f'between {low:.2f} and {high:.2f} over {k} prototypes'
    power = fit.law('power law')
    if fit.law('uniform').p_value > 0.05:
        verdict = f'{over}: the counts are those of equal classes, as far as can be told'
    elif fit.accepted:
        verdict = (
            f'{over}: the classes follow a power law of {tau.estimate:.2f} '
            f'({tau.low:.2f} to {tau.high:.2f})'
        )
    else:
        head, tail = fit.halves
        verdict = (
            f'{over}, if a power law at all: it is rejected (p = {power.p_value:.3f}, '
            f'KL {power.kl:.3f} nats, {power.explained:.0%} of the imbalance explained; exponent '
            f'{head.exponent:.2f} over the larger half of the classes, {tail.exponent:.2f} over '
            'the smaller)'
        )
    exponent = round(assumptions['equally many for each class'], 2)
    empirical = _line(f"type='EmpiricalPrior', counts={(counts_file or counts.tolist())!r}")
    # The counts themselves first where a law is no substitute for them.
    power_law = _power_law_line(exponent)
    lines = [power_law, empirical] if fits else [empirical, power_law]
    notes = _notes(exponent, k)
    if len(counts) < len(fit.counts):
        notes.append(
            f'{len(fit.counts) - len(counts)} classes have no image: they count in the fit, and '
            'are left out of EmpiricalPrior and of the prototypes'
        )
    if k < classes:
        notes.append(
            f'{classes} classes share {k} prototypes: neighbours in size by assumption; if '
            f'unrelated ones do, the exponent is '
            f'{fitted_exponent(merged_classes(sizes, k)):.2f}'
        )
    return Suggestion(verdict, exponent, low, high, k, assumptions, lines, notes)


def suggest_from_clusters(estimates: Sequence[ClusterSizes], num_prototypes: int) -> Suggestion:
    """Suggestion from clusters of unlabelled images.

    The estimates that do not prefer equal sizes and are not in doubt count.

    Args:
        estimates: As :func:`~.cluster_sizes.cluster_sizes` gives them.
        num_prototypes: K.
    """
    k = num_prototypes
    counted = [entry for entry in estimates if not entry.biased and not entry.doubt]
    if not counted:
        reasons = '; '.join(f'{e.estimator}: {e.doubt}' for e in estimates if not e.biased)
        return Suggestion(
            f'no exponent: no estimate can be trusted ({reasons})',
            None,
            None,
            None,
            k,
            {},
            [_power_law_line(DEFAULT), _line("type='UniformPrior'")],
            [
                'the lines are the default and MSN, not estimates: compare them by evaluation; a '
                'better encoder may show clusters'
            ],
        )
    tables = [_assumptions(power_law_prior(e.clusters, e.exponent), k) for e in counted]
    assumptions = {name: float(np.median([table[name] for table in tables])) for name in SPLITS}
    low = min(
        [
            fitted_exponent(spread_classes(power_law_prior(e.clusters, e.low), k, 0.5))
            for e in counted
        ]
    )
    high = max(
        [fitted_exponent(spread_classes(power_law_prior(e.clusters, e.high), k)) for e in counted]
    )
    said = ', '.join(
        f'{e.estimator} {e.exponent:.2f} ({e.low:.2f} to {e.high:.2f}) over {e.clusters} clusters'
        for e in counted
    )
    # Wide intervals overlap whatever was estimated.
    apart = any(not a.low <= b.exponent <= a.high for a in counted for b in counted)
    mood = 'the estimates disagree' if apart else 'the estimates agree'
    mood = 'a single estimate counts' if len(counted) == 1 else mood
    verdict = f'between {low:.2f} and {high:.2f} over {k} prototypes; {mood}: {said}'
    exponent = round(assumptions['equally many for each class'], 2)
    notes = _notes(exponent, k)
    notes += [f'left out: {e.estimator} ({e.doubt})' for e in estimates if e.doubt and not e.biased]
    notes.append(
        'clusters of an encoder are not classes: another encoder, or more images, may tell another '
        'story'
    )
    return Suggestion(
        verdict, exponent, low, high, k, assumptions, [_power_law_line(exponent)], notes
    )


def _assumptions(sizes: torch.Tensor, num_prototypes: int) -> dict[str, float]:
    return {
        name: fitted_exponent(spread_classes(sizes, num_prototypes, split))
        for name, split in SPLITS.items()
    }


def _line(prior: str) -> str:
    """For a config with a base: the arguments of the base's prior are dropped."""
    return f'model = dict(head=dict(prior=dict(_delete_=True, {prior})))'


def _power_law_line(exponent: float) -> str:
    return _line(f"type='PowerLawPrior', exponent={exponent:g}")


def _notes(exponent: float, num_prototypes: int) -> list[str]:
    prior = power_law_prior(num_prototypes, exponent)
    effective = float(entropy(prior.log()).exp())
    notes = [
        f'{num_prototypes} prototypes under exponent {exponent:g} amount to {effective:.0f} '
        f'equally likely ones; the largest prior is {float(prior[0] / prior[-1]):.3g} times the '
        'smallest'
    ]
    if exponent > STEEP:
        notes.append(
            'so steep a prior leaves most prototypes idle, and is easily met by images that all '
            'predict the same: watch the number of distinct prototypes, and try a gentler one'
        )
    return notes

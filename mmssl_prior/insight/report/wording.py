"""What the numbers of a model mean, in sentences."""

from collections.abc import Mapping
from typing import Any

__all__ = ['Remark', 'remarks']

GOOD, NOTE, WARN = 'good', 'note', 'warn'
Remark = dict[str, str]


def remarks(model: Mapping[str, Any], effective_classes: float | None) -> list[Remark]:
    """Sentences on one model, each with a ``kind`` (good, note, warn) and a ``text``.

    The bounds are rules of thumb and stand in the sentences.

    Args:
        model: As :func:`mmssl_prior.insight.measure_model` returns it.
        effective_classes: Effective number of classes, or None without labels.
    """
    found = _of_features(model['features'])
    if model['prototypes']:
        found += _of_prototypes(model['prototypes'])
    if effective_classes is not None:
        found += _of_clusters(model['clusterings'], effective_classes)
    return found


def _remark(kind: str, text: str) -> Remark:
    return dict(kind=kind, text=text)


def _of_features(features: Mapping[str, Any]) -> list[Remark]:
    rank, most = features['rankme'], min(features['width'], features['images'])
    spread, needed = features['spread'], features['dimensions_of_90_percent']
    if spread < 0.1:
        return [
            _remark(
                WARN,
                f'All images get nearly the same features (spread {spread:.2f}, where 0 is '
                'identical and 1 is spread out in all directions): the model has collapsed, or has '
                'hardly been trained.',
            )
        ]
    text = (
        f'The features use an effective {rank:.0f} of {most} dimensions; {needed} of them hold '
        '90 % of the variance.'
    )
    if rank < 0.05 * most:
        return [_remark(WARN, f'{text} That is little: most dimensions are wasted.')]
    return [_remark(GOOD, f'{text} No sign of collapse.')]


def _of_prototypes(usage: Mapping[str, Any]) -> list[Remark]:
    number, used, moved = usage['number'], usage['used'], usage['total_variation']
    found = []
    if used == 1:
        found.append(
            _remark(
                WARN,
                'All images go to one prototype: the model has collapsed, or has hardly been '
                'trained.',
            )
        )
    elif usage['expected'] is not None and used < 0.5 * usage['expected']:
        found.append(
            _remark(
                WARN,
                f'{used:,} of {number:,} prototypes are the first choice of some image; the prior '
                f'expects about {usage["expected"]:,.0f}. The others are dead.',
            )
        )
    else:
        few = usage['expected'] is not None and used < 0.8 * usage['expected']
        text = f'{used:,} of {number:,} prototypes are the first choice of some image.'
        found.append(_remark(NOTE if few else GOOD, text))
    if usage['information'] < 0.1:
        found.append(
            _remark(
                WARN,
                'Predictions hardly differ between images '
                f'({usage["information"]:.2f} nats of information): usage can match any prior '
                'that way without having learned anything.',
            )
        )
    if moved is not None:
        words = f'{moved:.0%} of the images would have to change prototype to match the prior'
        if moved < 0.1:
            found.append(_remark(GOOD, f'Usage follows the prior: {words}.'))
        elif moved < 0.25:
            found.append(_remark(NOTE, f'Usage follows the prior roughly: {words}.'))
        else:
            found.append(_remark(WARN, f'Usage does not follow the prior: {words}.'))
    if usage['distinct'] < number:
        found.append(
            _remark(
                WARN if usage['distinct'] < 0.9 * number else NOTE,
                f'Only {usage["distinct"]:,} of {number:,} prototypes differ from each other: '
                'copies share the images of one cluster, which can imitate a steep prior.',
            )
        )
    return found


def _of_clusters(clusterings: list[Mapping[str, Any]], effective_classes: float) -> list[Remark]:
    found = []
    for entry in clusterings:
        if entry['name'] != 'prototypes' and entry.get('as_classes'):
            ratio = entry['effective'] / effective_classes
            words = (
                f'k-means with as many clusters as classes makes {entry["effective"]:.1f} '
                f'effective clusters; the classes are {effective_classes:.1f}'
            )
            if ratio > 1.1:
                found.append(
                    _remark(NOTE, f'{words}. Its clusters are more equal than the classes.')
                )
            else:
                found.append(_remark(NOTE, f'{words}: about as unequal as the classes.'))
    return found

"""What results.json holds of a linear probe."""

from collections.abc import Collection, Mapping
from typing import Any

from .probe_accuracy import HeadScores, best_head

__all__ = ['linear_entry']

GROUPS = ('many', 'medium', 'few')


def linear_entry(heads: Mapping[str, HeadScores], in_table: Collection[str]) -> dict[str, Any]:
    """Scores of every head, the one that the table shows, and the best of the others.

    Args:
        heads: By name.
        in_table: Names of the heads whose best one the table shows: those of
            a recipe, or a single one that was named before any was scored.

    Returns:
        'head', the name of the head in the table, with its scores ('top1',
        'top5', 'class_mean_top1', and 'groups' where classes fall into
        several); 'heads', the scores of each and whether it is one 'in_table';
        'others', name and scores of the best head that is not.

    Example:
        >>> scores = HeadScores(0.5, None, 0.5), HeadScores(0.75, None, 0.5)
        >>> entry = linear_entry(dict(zip('ab', scores)), ['a'])
        >>> entry['head'], entry['top1'], entry['others']['head']
        ('a', 0.5, 'b')
    """
    others = [name for name in heads if name not in in_table]
    entry = _named(heads, best_head(heads, others)) | dict(
        heads={
            name: score.known() | dict(in_table=name in in_table) for name, score in heads.items()
        }
    )
    if others:
        entry['others'] = _named(heads, best_head(heads, in_table))
    return entry


def _named(heads: Mapping[str, HeadScores], name: str) -> dict[str, Any]:
    known: dict[str, Any] = dict(heads[name].known())
    groups = {group: known.pop(group, None) for group in GROUPS}
    if sum(value is not None for value in groups.values()) > 1:
        known['groups'] = groups
    return dict(head=name) | known

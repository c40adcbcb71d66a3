"""The numbers of an evaluation by one name each."""

from collections.abc import Mapping
from typing import Any

from ..evaluation.report import metric_rows
from ..evaluation.tasks import TASKS

__all__ = ['evaluation_metrics']

NAMES = {
    'linear': 'linear',
    'class mean': 'linear_class_mean',
    'others': 'linear_others',
    'groups': 'linear_{row}',
    'knn groups': 'knn20_{row}',
    'rankme': 'rankme',
    'sphere': '{row}',
}


def evaluation_metrics(results: Mapping[str, Any]) -> dict[str, float]:
    """Metrics by ``task/name`` of what ``tools/evaluate.py`` wrote of one checkpoint.

    Args:
        results: The content of results.json.

    Example:
        >>> scores = dict(linear=dict(top1=0.5), knn={'10': 0.25}, rankme=3.0)
        >>> evaluation_metrics(dict(results=[dict(task='digits', scores=scores)]))
        {'digits/linear': 0.5, 'digits/knn10': 0.25, 'digits/rankme': 3.0}
    """
    metrics = {}
    for entry in results['results']:
        task = entry['task']
        for (table, row), value in metric_rows(entry['scores'], TASKS[task].metric).items():
            metrics[f'{task}/{_name(table, row)}'] = float(value)
    return metrics


def _name(table: str, row: str) -> str:
    if table == 'knn':
        return f'knn{row.removeprefix("k = ")}'
    if table == 'low-shot':
        return f'low_shot_{row.replace(" per class", "").replace(", ", "_")}'
    return NAMES[table].format(row=row)

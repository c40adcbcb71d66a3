"""Results of several checkpoints and tasks as one document and as tables in the paper's layout."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .tasks import TASKS, Task

__all__ = ['FORMAT', 'groups', 'markdown', 'metric_rows', 'summary']

FORMAT = 2  # of results.json
TABLE_L2 = 0.075  # of the low-shot table; results.json has the grid


def metric_rows(scores: Mapping[str, Any], metric: str = 'top1') -> dict[tuple[str, str], float]:
    """Numbers of one task by (table, row).

    Args:
        scores: What results.json holds of the task.
        metric: Of the main table.

    Example:
        >>> metric_rows(dict(linear=dict(top1=0.5), knn={'10': 0.25}))
        {('linear', ''): 0.5, ('knn', 'k = 10'): 0.25}
    """
    rows: dict[tuple[str, str], float] = {}
    linear = scores.get('linear') or {}
    if metric in linear:
        rows['linear', ''] = linear[metric]
    if 'class_mean_top1' in linear:
        rows['class mean', ''] = linear['class_mean_top1']
    for group, value in (linear.get('groups') or {}).items():
        if value is not None:
            rows['groups', group] = value
    for k, value in (scores.get('knn') or {}).items():
        rows['knn', f'k = {k}'] = value
    for kind, entries in (scores.get('low_shot') or {}).items():
        if isinstance(entries, list):
            chosen = next((e for e in entries if e['l2'] == TABLE_L2), entries[-1])
            rows['low-shot', _kind(kind)] = chosen['mean']
    for measure in ('rankme', 'uniformity'):
        if scores.get(measure) is not None:
            rows[measure, ''] = scores[measure]
    return rows


def _kind(kind: str) -> str:
    if kind == 'list':
        return 'published list'
    return kind if kind.endswith('%') else f'{kind} per class'


def groups(checkpoints: Sequence[Mapping]) -> dict[str, list[str]]:
    """Names of the checkpoints by what they share, config and epoch, where there are several.

    Example:
        >>> groups([dict(name='a/1', group='c'), dict(name='b/1', group='c')])
        {'c': ['a/1', 'b/1']}
    """
    found: dict[str, list[str]] = {}
    for checkpoint in checkpoints:
        found.setdefault(checkpoint['group'], []).append(checkpoint['name'])
    return {group: names for group, names in found.items() if len(names) > 1}


def summary(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Mean, least and greatest of every number over the checkpoints of each group."""
    rows = []
    for group, names in groups(results['checkpoints']).items():
        collected: dict[tuple[str, str, str], list[float]] = {}
        for entry in results['results']:
            if entry['checkpoint'] in names:
                numbers = metric_rows(entry['scores'], TASKS[entry['task']].metric)
                for (table, row), value in numbers.items():
                    collected.setdefault((entry['task'], table, row), []).append(value)
        rows += [
            dict(
                group=group,
                task=task,
                table=table,
                row=row,
                mean=sum(values) / len(values),
                min=min(values),
                max=max(values),
                count=len(values),
            )
            for (task, table, row), values in collected.items()
        ]
    return rows


def markdown(results: Mapping[str, Any]) -> str:
    """The report: the main table first, then the others, then what was left out.

    Args:
        results: The content of results.json.
    """
    done = {entry['task'] for entry in results['results']}
    tasks = [task for name, task in TASKS.items() if name in done]
    lines = ['# Evaluation', '', f'Protocol `{results["protocol"]}`.', '']
    for table, title, show in TABLES:
        body = _table(results, tasks, table, show)
        notes = _without_low_shot(results, tasks) if table == 'low-shot' else []
        if body or notes:
            lines += [f'## {title}', '']
            lines += [line for part in (body, notes) if part for line in (*part, '')]
    lines += _checkpoints(results)
    for name in ('skipped', 'failed'):
        entries = results.get(name) or []
        if entries:
            lines += [f'## {name.capitalize()}', '']
            lines += [_left_out(entry) for entry in entries]
            lines.append('')
    return '\n'.join(lines)


def _percent(value: float) -> str:
    return f'{100 * value:.1f}'


TABLES: Sequence[tuple[str, str, Callable[[float], str]]] = (
    ('linear', 'Linear probe, top-1 in %', _percent),
    ('class mean', 'Linear probe, mean of the top-1 of each class in %', _percent),
    ('groups', 'Linear probe, by images of a class in training, top-1 in %', _percent),
    ('low-shot', f'Low-shot, top-1 in %, lambda = {TABLE_L2:g}, mean over subsets', _percent),
    ('knn', 'k-NN, top-1 in %', _percent),
    ('rankme', 'RankMe, of the training features', lambda value: f'{value:.1f}'),
    ('uniformity', 'Uniformity, of the test features', lambda value: f'{value:.2f}'),
)


def _table(
    results: Mapping[str, Any],
    tasks: Sequence[Task],
    table: str,
    show: Callable[[float], str],
) -> list[str]:
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for checkpoint in results['checkpoints']:
        for entry in results['results']:
            if entry['checkpoint'] != checkpoint['name']:
                continue
            numbers = metric_rows(entry['scores'], TASKS[entry['task']].metric)
            for (kind, row), value in numbers.items():
                if kind == table:
                    cells.setdefault((entry['checkpoint'], row), {})[entry['task']] = show(value)
    for entry in results['summary']:
        if entry['table'] == table:
            label = f'**{entry["group"]}**, mean (range)'
            text = f'{show(entry["mean"])} ({show(entry["min"])} to {show(entry["max"])})'
            size = len(groups(results['checkpoints'])[entry['group']])
            if entry['count'] < size:
                text += f' of {entry["count"]}'
            cells.setdefault((label, entry['row']), {})[entry['task']] = text
    if not cells:
        return []
    several = any(row for _, row in cells)
    names = list(dict.fromkeys(name for name, _ in cells))
    head = ['checkpoint', *([''] if several else []), *(task.title for task in tasks)]
    body = [
        [name, *([row] if several else []), *(values.get(task.name, '') for task in tasks)]
        for (name, row), values in sorted(cells.items(), key=lambda cell: _place(names, *cell[0]))
    ]
    rule = ['---'] * (2 if several else 1) + ['---:'] * len(tasks)
    return [f'| {" | ".join(cells)} |' for cells in [head, rule, *body]]


def _without_low_shot(results: Mapping[str, Any], tasks: Sequence[Task]) -> list[str]:
    """Why a kind of subset has no row: the data of a task cannot fill it."""
    reasons = [
        f'- {task.title}, {_kind(kind)}: {entries["skipped"]}'
        for task in tasks
        for result in results['results']
        if result['task'] == task.name
        for kind, entries in (result['scores'].get('low_shot') or {}).items()
        if isinstance(entries, Mapping) and 'skipped' in entries
    ]
    # One line for all checkpoints.
    return list(dict.fromkeys(reasons))


def _place(names: Sequence[str], name: str, row: str) -> tuple:
    """Checkpoints as they come; rows of each by number, shares and lists last."""
    number = ''.join(letter for letter in row if letter.isdigit())
    by_name = ('many', 'medium', 'few')
    last = '%' in row or 'list' in row
    return (
        names.index(name),
        by_name.index(row) if row in by_name else last,
        int(number or 0),
    )


def _checkpoints(results: Mapping[str, Any]) -> list[str]:
    lines = ['## Checkpoints', '', '| checkpoint | file | run | seed | encoder |', '|' + '---|' * 5]
    for entry in results['checkpoints']:
        seed = '' if entry['seed'] is None else entry['seed']
        lines.append(
            f'| {entry["name"]} | {entry["path"] or "random weights"} | {entry["group"]} '
            f'| {seed} | {entry["encoder"]}, {entry["image_size"]} px |'
        )
    for group, names in groups(results['checkpoints']).items():
        seeds = [c['seed'] for c in results['checkpoints'] if c['name'] in names]
        if len(set(seeds)) < len(seeds) and None not in seeds:
            lines += ['', f'The range of {group} is not one over seeds: a seed occurs twice.']
    return [*lines, '']


def _left_out(entry: Mapping[str, Any]) -> str:
    of = f' of {entry["checkpoint"]}' if entry.get('checkpoint') else ''
    return f'- {entry["task"]}{of}: {entry["reason"]}'

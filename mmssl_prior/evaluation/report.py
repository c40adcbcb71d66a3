"""Results of several checkpoints and tasks as one document and as tables in the paper's layout."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .tasks import TASKS, Task

__all__ = ['FORMAT', 'groups', 'markdown', 'metric_rows', 'summary']

FORMAT = 3  # of results.json
TABLE_L2 = 0.075  # of the low-shot table; results.json has the grid
GROUPS_K = '20'  # of the groups of k-NN; results.json has each


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
    if metric in (linear.get('others') or {}):
        rows['others', ''] = linear['others'][metric]
    knn_groups = (scores.get('knn_groups') or {}).get(GROUPS_K)
    for table, grouped in (('groups', linear.get('groups')), ('knn groups', knn_groups)):
        for group, value in (grouped or {}).items():
            if value is not None:
                rows[table, group] = value
    for k, value in (scores.get('knn') or {}).items():
        rows['knn', f'k = {k}'] = value
    for kind, entries in (scores.get('low_shot') or {}).items():
        if isinstance(entries, list):
            chosen = next((e for e in entries if e['l2'] == TABLE_L2), entries[-1])
            rows['low-shot', _kind(kind)] = chosen['mean']
    for table, row, measure in MEASURES:
        if scores.get(measure) is not None:
            rows[table, row] = scores[measure]
    return rows


def _kind(kind: str) -> str:
    published, _, amount = kind.rpartition(' ')
    text = amount if amount.endswith('%') else f'{amount} per class'
    return f'{text}, published' if published else text


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
    """Mean, least and greatest of every number over the checkpoints of each group.

    'count' is of how many of the group's checkpoints ('of') the number is there.
    """
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
                of=len(names),
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
        notes = (
            NOTES[table](results, tasks) if table in NOTES and (body or table == 'low-shot') else []
        )
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


def _decimals(value: float) -> str:
    return f'{value:.2f}'


MEASURES = (
    ('rankme', '', 'rankme'),
    ('sphere', 'alignment', 'alignment'),
    ('sphere', 'uniformity', 'uniformity'),
)
BY_GROUP = 'by images of a class in training, mean top-1 of the classes in %'
TABLES: Sequence[tuple[str, str, Callable[[float], str]]] = (
    ('linear', 'Linear probe, top-1 in %', _percent),
    ('class mean', 'Linear probe, mean of the top-1 of each class in %', _percent),
    ('others', 'Linear probe, best of the other heads, top-1 in %', _percent),
    ('groups', f'Linear probe, {BY_GROUP}', _percent),
    ('knn groups', f'k-NN, k = {GROUPS_K}, {BY_GROUP}', _percent),
    ('low-shot', f'Low-shot, top-1 in %, lambda = {TABLE_L2:g}, mean over subsets', _percent),
    ('knn', 'k-NN, top-1 in %', _percent),
    ('rankme', 'RankMe, of the training features', lambda value: f'{value:.1f}'),
    ('sphere', 'Alignment and uniformity, of the test features', _decimals),
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
            if entry['count'] < entry['of']:
                text += f', {entry["count"]} of {entry["of"]}'
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


def _of_low_shot(results: Mapping[str, Any], tasks: Sequence[Task]) -> list[str]:
    """Over how many lists a row is, and why a kind has none: the data cannot fill it."""
    lines = []
    for task, scores in _scores(results, tasks):
        for kind, files in (scores.get('low_shot_lists') or {}).items():
            number = f'{len(files)} list{"s" * (len(files) > 1)}'
            lines.append(f'- {task.title}, {_kind(kind)}: {number}')
        for kind, entries in (scores.get('low_shot') or {}).items():
            if isinstance(entries, Mapping) and 'skipped' in entries:
                lines.append(f'- {task.title}, {_kind(kind)}: {entries["skipped"]}')
    # One line for all checkpoints.
    return list(dict.fromkeys(lines))


def _heads(results: Mapping[str, Any], tasks: Sequence[Task], which: str = '') -> list[str]:
    """Which head a number is of, where there were several to choose from."""
    lines = []
    for checkpoint in results['checkpoints']:
        named = []
        for task, scores in _scores(results, tasks, checkpoint['name']):
            linear = scores.get('linear') or {}
            heads = (linear.get('heads') or {}).values()
            if which and which in linear:
                named.append(f'{task.title} {linear[which]["head"]}')
            elif not which and sum(head.get('in_table', False) for head in heads) > 1:
                named.append(f'{task.title} {linear["head"]}')
        if named:
            lines.append(f'- {checkpoint["name"]}: {", ".join(named)}')
    chosen = 'The head of each number is the best on the test images'
    return [f'{chosen}{", none of the table above" if which else ""}:', '', *lines] if lines else []


def _other_heads(results: Mapping[str, Any], tasks: Sequence[Task]) -> list[str]:
    return _heads(results, tasks, 'others')


def _groups_of(
    results: Mapping[str, Any], tasks: Sequence[Task], table: str = 'groups'
) -> list[str]:
    """Where training images were counted, and the bounds; once for both tables."""
    lines = []
    for checkpoint in results['checkpoints']:
        for task, scores in _scores(results, tasks, checkpoint['name']):
            of = scores.get('groups_of')
            first = next((name for name, _ in metric_rows(scores) if 'groups' in name), None)
            if of and first == table:
                lines.append(
                    f'- {task.title} of {checkpoint["name"]}: more than {of["many_above"]} images, '
                    f'fewer than {of["few_below"]}, and between; counted in {of["reason"]}'
                )
    return lines


def _of_sphere(results: Mapping[str, Any], tasks: Sequence[Task]) -> list[str]:
    """The definitions."""
    sizes = [s['alignment_images'] for _, s in _scores(results, tasks) if 'alignment_images' in s]
    if not sizes:
        return []
    return [
        'Alignment: mean squared distance of the normalised features of two random views of an '
        f'image (the large view of MSN), over at most {max(sizes)} images; 0 is perfect. '
        'Uniformity: log of the mean of exp(-2 d^2) over the distances d of all pairs of images '
        'in the evaluation crop; lower is more even.'
    ]


def _scores(
    results: Mapping[str, Any], tasks: Sequence[Task], checkpoint: str | None = None
) -> list[tuple[Task, Mapping[str, Any]]]:
    """The scores of one or of all checkpoints, in the order of the tasks."""
    return [
        (task, entry['scores'])
        for task in tasks
        for entry in results['results']
        if entry['task'] == task.name and checkpoint in (None, entry['checkpoint'])
    ]


#: Lines below a table.
NOTES: Mapping[str, Callable[[Mapping[str, Any], Sequence[Task]], list[str]]] = {
    'linear': _heads,
    'others': _other_heads,
    'groups': _groups_of,
    'knn groups': lambda results, tasks: _groups_of(results, tasks, 'knn groups'),
    'low-shot': _of_low_shot,
    'sphere': _of_sphere,
}


def _place(names: Sequence[str], name: str, row: str) -> tuple:
    """Checkpoints as they come; rows of each by number, shares and lists last."""
    number = ''.join(letter for letter in row if letter.isdigit())
    by_name = ('many', 'medium', 'few')
    last = 2 * ('published' in row) + ('%' in row)
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
            f'| {seed} | {_encoder(entry)} |'
        )
    for group, names in groups(results['checkpoints']).items():
        seeds = [c['seed'] for c in results['checkpoints'] if c['name'] in names]
        if len(set(seeds)) < len(seeds) and None not in seeds:
            lines += ['', f'The range of {group} is not one over seeds: a seed occurs twice.']
    return [*lines, '']


def _encoder(checkpoint: Mapping[str, Any]) -> str:
    if checkpoint.get('encoder') is None:
        return 'no task finished'
    return f'{checkpoint["encoder"]}, {checkpoint["image_size"]} px'


def _left_out(entry: Mapping[str, Any]) -> str:
    of = f' of {entry["checkpoint"]}' if entry.get('checkpoint') else ''
    return f'- {entry["task"]}{of}: {entry["reason"]}'

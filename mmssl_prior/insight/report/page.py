"""A report as files: one HTML page, PNG figures, JSON."""

import html
import json
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from ..analyzed_data import AnalyzedData
from ..pictures import SPRITE_SIDE, picture_uris, sprite
from .figures import write_figures

__all__ = ['page_html', 'write_report']

SCRIPTS = ('charts.js', 'pictures.js', 'plane.js', 'page.js', 'selftest.js')
#: Attention maps are for the page alone; elsewhere their bytes are no numbers.
PICTURES = ('input', 'mean', 'maps')


def write_report(results: Mapping[str, Any], data: AnalyzedData, out: Path) -> None:
    """Write ``report.html``, ``results.json`` and ``figures/``.

    The same results give the same bytes.

    Args:
        results: As :func:`mmssl_prior.insight.analyze` makes them.
        data: Their images.
        out: Folder, made if it is missing.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_figures(results, data, out / 'figures')
    _write(out / 'results.json', json.dumps(_numbers(results), indent=1) + '\n')
    _write(out / 'report.html', page_html(results, data))


def page_html(results: Mapping[str, Any], data: AnalyzedData) -> str:
    """The page, with its styles, scripts, numbers and pictures in it."""
    points = results['models'][0]['points']
    shown = sorted(set(_shown(results['models'])))
    sheet, columns = sprite(data.dataset, points)
    labels = data.labels
    content = dict(
        results=results,
        pictures=picture_uris(data.dataset, shown),
        names={index: data.name(index) for index in shown},
        labels=None if labels is None else {index: int(labels[index]) for index in shown},
        points=dict(
            sprite=sheet,
            side=SPRITE_SIDE,
            columns=columns,
            rows=-(-len(points) // columns),
            names=[data.name(index) for index in points],
            labels=None if labels is None else [int(labels[index]) for index in points],
        ),
    )
    text = json.dumps(content, separators=(',', ':'), ensure_ascii=False)
    parts = dict(
        title=html.escape(f'{results["data"]["title"]}: what the model clustered'),
        style=_asset('page.css').strip(),
        # Nothing in a name may end the element.
        data=text.replace('<', '\\u003c').replace('\u2028', '\\u2028').replace('\u2029', '\\u2029'),
        script='\n'.join(map(_asset, SCRIPTS)).strip(),
    )
    page = _asset('page.html')
    for name, part in parts.items():
        head, _, tail = page.partition(f'{{{{{name}}}}}')
        page = f'{head}{part}{tail}'
    return page


def _shown(models: Iterable[Mapping[str, Any]]) -> Iterable[int]:
    for model in models:
        for entry in model['gallery']:
            yield from entry['nearest']
        for row in model['retrieval']['queries']:
            yield row['query']
            yield from (image for image, _ in row['neighbours'])
        for row in model['attention'].get('rows', ()):
            yield row['image']


def _numbers(results: Mapping[str, Any]) -> dict[str, Any]:
    """The results without pictures."""
    models = []
    for model in results['models']:
        attention = dict(model['attention'])
        if 'rows' in attention:
            attention['rows'] = [
                {key: value for key, value in row.items() if key not in PICTURES}
                for row in attention['rows']
            ]
        models.append(dict(model, attention=attention))
    return dict(results, models=models)


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding='utf-8')


def _write(path: Path, text: str) -> None:
    part = path.with_name(f'{path.name}.part')
    part.write_text(text, encoding='utf-8', newline='\n')
    part.replace(path)

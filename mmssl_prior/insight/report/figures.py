"""The figures of a report as PNG files."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ...evaluation.plots import BLUE, CYCLE, GRAY, INK, ORANGE, STYLE, _figure
from ...visualization.view_sheet import _font
from ..analyzed_data import AnalyzedData
from ..frequency_groups import GROUP_NAMES
from ..pictures import image_at

__all__ = ['write_figures']

GROUP_COLOURS = dict(head=BLUE, medium='#7a6a9c', tail='#b5541a')
CELL, GAP, LEFT = 96, 6, 190
OURS = (
    'usage',
    'cluster_sizes',
    'groups',
    'plane_',
    'spectrum',
    'gallery',
    'neighbours',
    'attention',
)


def write_figures(results: Mapping[str, Any], data: AnalyzedData, folder: Path) -> None:
    """Write a PNG of each figure of the page; models stand side by side.

    Args:
        results: As :func:`mmssl_prior.insight.analyze` makes them.
        data: Their images.
        folder: Made if it is missing.
    """
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob('*.png'):
        # Of an earlier report, on other models or with another layout.
        if path.stem.startswith(OURS):
            path.unlink()
    models = results['models']
    with matplotlib.rc_context(STYLE):
        if any(model['prototypes'] for model in models):
            _panels(folder / 'usage.png', models, _usage, share=True)
        counts = [entry['images'] for entry in results['data']['classes'] or ()]
        _panels(folder / 'cluster_sizes.png', models, lambda a, m: _sizes(a, m, counts), share=True)
        if counts and results['data']['parted']:
            _panels(folder / 'groups.png', models, _groups)
        classes = results['data']['classes']
        for layout in dict.fromkeys(name for model in models for name in model['planes']):
            _panels(
                folder / f'plane_{layout}.png',
                models,
                lambda axis, model, layout=layout: _plane(axis, model, layout, data, classes),
                height=4.6,
            )
        _spectrum(folder / 'spectrum.png', models)
    for number, model in enumerate(models):
        end = f'_{chr(97 + number)}.png' if len(models) > 1 else '.png'
        what = 'prototype' if model['gallery_of'] == 'prototypes' else 'cluster'
        _sheet(
            folder / f'gallery{end}',
            [
                (
                    f'{what} {entry["cluster"] + 1}',
                    f'{entry["images"]} images',
                    _small(data, entry['nearest']),
                )
                for entry in model['gallery']
            ],
        )
        _sheet(
            folder / f'neighbours{end}',
            [
                (
                    data.name(row['query']),
                    '',
                    _small(data, [row['query'], *(i for i, _ in row['neighbours'])]),
                )
                for row in model['retrieval']['queries']
            ],
        )
        if 'rows' in model['attention']:
            _sheet(
                folder / f'attention{end}',
                [
                    (
                        data.name(row['image']),
                        'input, mean, heads',
                        [_decoded(uri) for uri in (row['input'], row['mean'], *row['maps'])],
                    )
                    for row in model['attention']['rows']
                ],
            )


def _panels(path: Path, models: Sequence, draw: Any, share: bool = False, height=4.0) -> None:
    figure, axes = _figure(1, len(models), (max(5.4 * len(models), 6.4), height))
    flat = np.asarray(axes).ravel()
    for axis, model in zip(flat, models):
        draw(axis, model)
        axis.set_title(model['name'])
    if share:
        limits = [axis.get_ylim() for axis in flat]
        for axis in flat:
            axis.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    figure.savefig(path)


def _usage(axis: Any, model: Mapping[str, Any]) -> None:
    usage = model['prototypes']
    if not usage:
        axis.text(0.5, 0.5, 'no prototypes', ha='center', transform=axis.transAxes)
        return
    ranks = np.arange(1, usage['number'] + 1)
    # Unknown, it is taken as uniform.
    prior = np.array(usage['prior'] or np.ones(len(ranks)))
    order = np.argsort(-prior, kind='stable')
    shares = np.array(usage['counts'])[order] / model['features']['images']
    axis.bar(ranks, shares, width=0.8, color='#c5daf0', label='first choice of images')
    axis.plot(
        ranks, np.array(usage['p_bar'])[order], '.', color=BLUE, ms=5, label='mean prediction'
    )
    if usage['prior']:
        axis.plot(ranks, prior[order], color=ORANGE, lw=2.2, label='prior')
    axis.set_xlabel('prototype, in the order of the prior')
    axis.set_ylabel('share of the images')
    axis.legend(loc='best')


def _relative(sizes: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    ordered = np.sort(np.asarray(sizes, float))[::-1]
    return (np.arange(len(ordered)) + 0.5) / len(ordered), ordered * len(ordered) / ordered.sum()


def _sizes(axis: Any, model: Mapping[str, Any], counts: Sequence[int]) -> None:
    import matplotlib

    if counts:
        present = [count for count in counts if count]
        axis.plot(*_relative(present), '--', color=INK, label=f'classes ({len(present)})')
    usage = model['prototypes']
    if usage and usage['prior']:
        axis.plot(*_relative(usage['prior']), color=ORANGE, label=f'prior ({usage["number"]})')
    means = [entry for entry in model['clusterings'] if entry['name'] != 'prototypes']
    greens = matplotlib.colormaps['Greens'](np.linspace(0.45, 0.9, max(len(means), 1)))
    for entry in model['clusterings']:
        own = entry['name'] == 'prototypes'
        color = BLUE if own else greens[means.index(entry)]
        x, y = _relative(entry['sizes'])
        # Empty clusters have no place on a logarithmic axis.
        label = f'{entry["name"]} ({entry["clusters"]})' if own else entry['name']
        axis.plot(x[y > 0], y[y > 0], color=color, label=label)
    axis.axhline(1, color=GRAY, lw=1, ls=':')
    axis.set_yscale('log')
    axis.set_xlabel('clusters, from the largest to the smallest')
    axis.set_ylabel('size, times an equal share')
    axis.legend(loc='best')


def _groups(axis: Any, model: Mapping[str, Any]) -> None:
    first = model['clusterings'][0]['groups']
    rows = [('images', 'images', first), ('classes', 'classes', first)]
    rows += [(entry['name'], 'clusters', entry['groups']) for entry in model['clusterings']]
    names = [name for name, _, _ in rows][::-1]
    left = np.zeros(len(rows))
    for group in GROUP_NAMES:
        values = np.array([shares[group][key] for _, key, shares in rows])[::-1]
        axis.barh(names, values, left=left, color=GROUP_COLOURS[group], label=group)
        left += values
    axis.grid(False)
    axis.set_xlim(0, 1)
    axis.set_xlabel('share')
    axis.legend(loc='upper center', bbox_to_anchor=(0.5, -0.14), ncols=3)


def _plane(axis: Any, model: Any, layout: str, data: AnalyzedData, classes: Any) -> None:
    points = np.array(model['planes'].get(layout, model['planes']['pca'])['points'])
    colours = [BLUE] * len(points)
    if classes:
        assert data.labels is not None
        colours = [GROUP_COLOURS[classes[data.labels[i]]['group']] for i in model['points']]
    axis.scatter(points[:, 0], points[:, 1], s=7, c=colours, alpha=0.7, lw=0)
    axis.set_aspect('equal')
    axis.set_xticks([])
    axis.set_yticks([])


def _spectrum(path: Path, models: Sequence[Mapping[str, Any]]) -> None:
    figure, axis = _figure(1, 1, (7.2, 4.0))
    for number, model in enumerate(models):
        shares = np.array(model['features']['spectrum'])
        label = f'{model["name"]}, RankMe {model["features"]["rankme"]:.1f}'
        ranks = np.arange(1, len(shares) + 1)
        axis.plot(ranks[shares > 1e-6], shares[shares > 1e-6], color=CYCLE[number % 6], label=label)
    axis.set_yscale('log')
    axis.set_xlabel('direction, from the strongest')
    axis.set_ylabel('share of the variance')
    axis.legend(loc='best')
    figure.savefig(path)


def _small(data: AnalyzedData, indices: Sequence[int]) -> list[Image.Image]:
    return [image_at(data.dataset, index, CELL) for index in indices]


def _decoded(uri: str) -> Image.Image:
    """The picture of a page's address, as the page shows it."""
    return Image.open(io.BytesIO(base64.b64decode(uri.split(',', 1)[1])))


def _sheet(path: Path, rows: Sequence[tuple[str, str, Sequence[Image.Image]]]) -> None:
    """Rows of images, each with a name."""
    width = LEFT + max((len(images) for _, _, images in rows), default=1) * (CELL + GAP) + GAP
    sheet = Image.new('RGB', (width, len(rows) * (CELL + GAP) + GAP), '#ffffff')
    draw = ImageDraw.Draw(sheet)
    for number, (name, note, images) in enumerate(rows):
        top = GAP + number * (CELL + GAP)
        draw.text((2 * GAP, top + 28), name[-26:], fill=INK, font=_font(12, bold=True))
        draw.text((2 * GAP, top + 46), note, fill='#6b7580', font=_font(12))
        for column, image in enumerate(images):
            scale = CELL / max(image.size)
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            sheet.paste(image.resize(size), (LEFT + column * (CELL + GAP), top))
    sheet.save(path)

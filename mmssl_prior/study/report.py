"""The part of the results page that is one study: its tables and figures."""

import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError, printable
from .comparison import Row, compare, differenced, narrowed
from .contrast import Contrast, Planned, StudyFacts, read_contrasts
from .figures import plot_contrast
from .observation import Observation
from .tables import SIGNIFICANT, contrast_legend, contrast_table, table_of_tests

__all__ = ['write_report']

PAGE = 'results.md'
# Of the runs that are missing, so many are named.
NAMED = 12
CAPTION = (
    'Dots: runs; thin lines join those of one seed. Larger marks and bars: means and 95% intervals'
)
CAPTION_OF_PAIRS = '. Below: paired differences to {}'
CAPTION_OF_TESTS = f', filled where p < {SIGNIFICANT:g} after Holm'


def write_report(
    study: StudyFacts,
    observations: Sequence[Observation],
    out_dir: str | Path,
    planned: Sequence[Planned],
    note: str = '',
) -> list[Path]:
    """Write a study's part of ``results.md``, and its figures into ``images``.

    The part lies between the lines ``<!-- study: NAME -->`` and
    ``<!-- end of NAME -->``. All outside stays as it is; a page without these
    lines gets them at its end.

    Args:
        study: Name, title, question, factors, metrics and contrasts.
        observations: Of its finished runs.
        out_dir: Folder of the page.
        planned: All runs that it asks for; those that are missing are named.
        note: A line on the runs, behind how many there are.

    Returns:
        The files written, the page first.

    Raises:
        UserError: If a contrast does not fit the study, a run lies outside its
            grid or occurs twice, or the page has only one of the two lines.
    """
    out_dir = Path(out_dir)
    _check(study, observations)
    page = out_dir / PAGE
    text = _read(page)
    lines = [f'## {study.title}', '', study.question, '', *_finished(study, observations, planned)]
    lines += [note, ''] if note else []
    paths = [page]
    contrasts = read_contrasts(study)
    around = _split(text, study.name, page)
    for contrast in contrasts:
        if not contrast.metrics:
            every = sorted({name for one in observations for name in one.metrics})
            contrast = contrast._replace(metrics={name: name for name in every})
        runs, asked = differenced(contrast, observations, planned)
        contrast = narrowed(contrast, runs, asked)
        rows = compare(contrast, runs, asked)
        lines += _section(contrast, rows)
        if any(row.means for row in rows):
            picture = out_dir / 'images' / f'results-{study.name}-{_slug(contrast.title)}.png'
            picture.parent.mkdir(parents=True, exist_ok=True)
            plot_contrast(picture, contrast, rows)
            paths.append(picture)
            caption = CAPTION
            if any(row.differences for row in rows):
                caption += CAPTION_OF_PAIRS.format(f'{contrast.factor} = {contrast.baseline}')
                caption += CAPTION_OF_TESTS * bool(table_of_tests(contrast, rows))
            lines += ['', f'![{contrast.title}](images/{picture.name})', '', f'{caption}.']
        lines.append('')
    part = '\n'.join(lines)
    before, after = around
    page.parent.mkdir(parents=True, exist_ok=True)
    # Whole or not at all: what a hand has written must not be lost.
    whole = page.with_name(f'.{page.name}.part')
    whole.write_bytes(f'{before}{_start(study.name)}\n{part}{_end(study.name)}{after}'.encode())
    whole.replace(page)
    return paths


def _read(page: Path) -> str:
    """The page as it is: the ends of hand-written lines are kept."""
    try:
        return page.read_bytes().decode() if page.exists() else '# Results\n'
    except UnicodeDecodeError as error:
        raise UserError(f'{printable(page)} is not UTF-8: {error}') from error


def _start(name: str) -> str:
    return f'<!-- study: {name} -->'


def _end(name: str) -> str:
    return f'<!-- end of {name} -->'


def _split(text: str, name: str, page: Path) -> tuple[str, str]:
    """What stands before and behind the study's part."""
    start, end = _start(name), _end(name)
    found = text.count(start), text.count(end)
    if found == (0, 0):
        return text.rstrip('\n') + '\n\n', '\n'
    if found != (1, 1) or text.index(start) > text.index(end):
        raise UserError(
            f'{printable(page)}: the lines {start} and {end} must stand there once each, in this '
            'order; mend them, or remove both to have the part appended'
        )
    return text[: text.index(start)], text[text.index(end) + len(end) :]


def _check(study: StudyFacts, observations: Sequence[Observation]) -> None:
    levels = {name: set(map(str, found)) for name, found in study.factors.items()}
    seen = set()
    for one in observations:
        run = _run(one)
        if one.factors.keys() != levels.keys() or any(
            level not in levels[name] for name, level in one.factors.items()
        ):
            raise UserError(f'study {study.name}: the run {run} is not in its grid of factors')
        if run in seen:
            raise UserError(f'study {study.name}: there are two runs {run}')
        seen.add(run)


def _run(run: Planned) -> str:
    return ', '.join([*(f'{k} {v}' for k, v in sorted(run.factors.items())), f'seed {run.seed}'])


def _finished(
    study: StudyFacts, observations: Sequence[Observation], planned: Sequence[Planned]
) -> list[str]:
    """How many runs there are, which are missing, which metrics no run has."""
    there = {_run(one) for one in observations}
    missing = [run for run in map(_run, planned) if run not in there]
    lines = [f'{len(planned) - len(missing)} of {len(planned)} runs have finished.']
    if missing:
        more = f'; and {len(missing) - NAMED} more' if len(missing) > NAMED else ''
        lines[0] += f' Missing: {"; ".join(missing[:NAMED])}{more}.'
    absent = [
        name for name in study.metrics or () if not any(name in one.metrics for one in observations)
    ]
    if absent and observations:
        lines += ['', f'No run has {", ".join(f"`{name}`" for name in absent)}.']
    return [*lines, '']


def _section(contrast: Contrast, rows: Sequence[Row]) -> list[str]:
    lines = [f'### {contrast.title}', '']
    if contrast.fixed:
        lines += [f'With {", ".join(f"{k} = {v}" for k, v in contrast.fixed.items())}.', '']
    if not rows:
        return [*lines, f'No part of the grid has two levels of {contrast.factor}: no comparison.']
    lines += [*contrast_table(contrast, rows), '', contrast_legend(contrast, rows)]
    tests = table_of_tests(contrast, rows)
    if tests:
        # GitHub reads Markdown within HTML only behind an empty line.
        lines += ['', '<details><summary>Tests</summary>', '', *tests, '', '</details>']
    return lines


def _slug(title: str) -> str:
    return re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')

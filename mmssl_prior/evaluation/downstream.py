"""Several checkpoints on several downstream tasks, taken up where it stopped."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from mmengine import dist
from mmengine.device import get_device

from ..errors import UserError, printable
from .encoder import Encoder, build_encoder
from .encoder_source import EncoderSource, named_apart
from .one_task import FEATURES, PROTOCOLS, ConfigProbe, Evaluation, run_task
from .report import FORMAT, markdown, summary
from .result_files import (
    RESULTS,
    DataDigests,
    finished,
    of_first_rank,
    probe_failure,
    result_key,
)
from .tasks import Task

__all__ = ['Present', 'evaluate', 'present_tasks']


@dataclass(frozen=True)
class Present:
    """The tasks that can run, and for the others the reason."""

    tasks: list[Task]
    skipped: list[dict[str, str]]


def present_tasks(tasks: Sequence[Task], settings: Evaluation) -> Present:
    """Which tasks have their data."""
    found, skipped = [], []
    for task in tasks:
        missing = task.missing(settings.root(task))
        if missing is None:
            found.append(task)
        else:
            skipped.append(dict(task=task.name, reason=f'{printable(missing)} does not exist'))
    return Present(found, skipped)


def evaluate(
    sources: Sequence[EncoderSource],
    present: Present,
    settings: Evaluation,
    config_probe: ConfigProbe | None = None,
    said: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Score every checkpoint on every task.

    A finished task has a file ``<out>/<checkpoint>/<task>/results.json``,
    and is not computed again for the same weights, settings and lists of images
    and labels. After each
    one ``<out>/results.json`` and ``<out>/report.md`` are written anew. What
    a task raises as a mistake of the user's is reported under 'failed', and
    the next one begins; a linear probe that fails leaves the task's other
    scores. Tasks on the same images share their features, which are removed
    with the last of them. Call it on all ranks; the first one writes.

    Args:
        sources: What to evaluate.
        present: Tasks with their data.
        settings: How.
        config_probe: Trains the linear probe of protocols that have configs.
        said: Is told the progress, on the first rank.

    Returns:
        The content of results.json.

    Raises:
        UserError: If nothing is to be done, or an encoder cannot be loaded.
    """
    if not sources or not present.tasks:
        raise UserError('nothing to evaluate: name a checkpoint, and a task whose data are there')
    if not dist.is_main_process():
        said = _silent
    sources = _named_apart(sources)
    results: dict[str, Any] = dict(
        format=FORMAT,
        protocol=settings.protocol,
        # All of them: one that fails is missing in a mean, which says so.
        checkpoints=[_described(source) for source in sources],
        results=[],
        skipped=present.skipped,
        failed=[],
        summary=[],
    )
    device, digests = _score_device(), DataDigests(settings)
    keys = {
        (source.name, task.name): result_key(source, task, settings)
        for source in sources
        for task in present.tasks
    }
    entries = {
        (source.name, task.name): finished(
            settings.out / source.name / task.name,
            keys[source.name, task.name],
            task,
            digests,
            said,
        )
        for source in sources
        for task in present.tasks
    }
    # What cannot be loaded is said before hours are spent on the others.
    due = [s for s in sources if any(entries[s.name, task.name] is None for task in present.tasks)]
    for source in due[1:]:
        _encoder(source, settings)
    for source in sources:
        encoder: Encoder | None = None
        open_tasks = list(present.tasks)
        for number, task in enumerate(present.tasks, 1):
            where = f'{source.name} [{number}/{len(present.tasks)}] {task.title}'
            folder = settings.out / source.name
            key, entry = keys[source.name, task.name], entries[source.name, task.name]
            if entry is not None:
                said(f'{where}: done before')
            else:
                if encoder is None:
                    said(f'{source.name}: {source.path or "random weights"}')
                    encoder = _encoder(source, settings).to(get_device())
                started = time.monotonic()
                told = _prefixed(said, where)
                try:
                    scores, data = run_task(
                        source, encoder, task, settings, config_probe, folder, key, device, told
                    )
                except UserError as error:
                    said(f'{where}: failed: {error}')
                    failure = dict(checkpoint=source.name, task=task.name, reason=str(error))
                    results['failed'].append(failure)
                    continue
                entry = dict(
                    key=key,
                    data=data,
                    checkpoint=source.name,
                    task=task.name,
                    encoder=type(encoder.backbone).__name__,
                    image_size=encoder.size,
                    seconds=round(time.monotonic() - started, 1),
                    scores=scores,
                )
                entry = of_first_rank(entry)
                _write(folder / task.name / RESULTS, entry)
            _add(results, source, entry)
            reason = probe_failure(entry)
            if reason is not None:
                said(f'{where}: linear probe failed: {reason}')
                results['failed'].append(
                    dict(checkpoint=source.name, task=task.name, reason=f'linear probe: {reason}')
                )
            else:
                open_tasks.remove(task)
                if not settings.keep_features:
                    _remove_features(folder, task, open_tasks)
            _report(results, settings.out)
    _report(results, settings.out)
    return results


def _remove_features(folder: Path, task: Task, open_tasks: Sequence[Task]) -> None:
    """Remove the features of a task, unless one that is not finished reads them too."""
    needed = {other.features for other in open_tasks}
    if task.features not in needed and dist.is_main_process():
        shutil.rmtree(folder / FEATURES / task.features, ignore_errors=True)
        with suppress(OSError):  # others are in it, or it is not there
            (folder / FEATURES).rmdir()


def _score_device() -> str:
    """Where distances and regressions are computed, some in the double precision mps lacks."""
    return 'cuda' if torch.cuda.is_available() else 'cpu'


def _encoder(source: EncoderSource, settings: Evaluation) -> Encoder:
    return build_encoder(source, settings.image_size, PROTOCOLS[settings.protocol].feature)


def _silent(text: str) -> None:
    pass


def _prefixed(said: Callable[[str], None], where: str) -> Callable[[str], None]:
    return lambda text: said(f'{where}: {text}')


def _named_apart(sources: Sequence[EncoderSource]) -> list[EncoderSource]:
    """The sources, none twice, with one name each, and one group for the seeds of one run."""
    once = {source.digest: source for source in sources}.values()
    runs: dict[str, set[str]] = {}
    for source in once:
        runs.setdefault(source.group, set()).add(source.run)
    grouped = []
    for source in once:
        group = source.group
        if len(runs[group]) > 1:
            group += f' [{hashlib.sha256(source.run.encode()).hexdigest()[:6]}]'
        grouped.append(replace(source, group=group))
    return named_apart(grouped)


def _described(source: EncoderSource) -> dict[str, Any]:
    return dict(
        name=source.name,
        path=source.path,
        sha256=source.digest,
        group=source.group,
        seed=source.seed,
        encoder=None,
        image_size=None,
    )


def _add(results: dict[str, Any], source: EncoderSource, entry: Mapping[str, Any]) -> None:
    for checkpoint in results['checkpoints']:
        if checkpoint['name'] == source.name:
            checkpoint.update(encoder=entry['encoder'], image_size=entry['image_size'])
    results['results'].append(
        {key: entry[key] for key in ('task', 'seconds', 'scores', 'key', 'data')}
        | dict(checkpoint=source.name)
    )


def _report(results: dict[str, Any], out: Path) -> None:
    results['summary'] = summary(results)
    _write(out / RESULTS, results)
    if dist.is_main_process():
        (out / 'report.md').write_text(markdown(results), encoding='utf-8')


def _write(path: Path, content: Any) -> None:
    """Whole or not at all, by the first rank."""
    if not dist.is_main_process():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.part')
    part.write_text(json.dumps(content, indent=1), encoding='utf-8')
    part.replace(path)

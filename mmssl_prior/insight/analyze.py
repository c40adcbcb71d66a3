"""A report on checkpoints: what they clustered, and how that compares with prior and classes."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmengine.device import get_device
from torch import Tensor

from ..errors import UserError, printable
from ..evaluation.encoder_source import EncoderSource, named_apart
from ..evaluation.feature_store import FeatureStore
from ..version import __version__
from .analyzed_data import AnalyzedData, encoder_steps
from .analyzed_model import FEATURE, LOG_PROBS, AnalyzedModel, open_model
from .attention_pictures import attention_pictures
from .clusters import effective_number, gini
from .frequency_groups import GROUP_NAMES, FrequencyGroups, frequency_groups
from .measure import Gathered, measure_model
from .plane import choose_layout
from .report import write_report
from .report.wording import remarks
from .shown import Settings, sample_shown

__all__ = ['analyze']

VERSION = 6  # of what is kept of finished models
DIGITS = 6
CHUNK = 1024


def analyze(
    sources: Sequence[EncoderSource],
    data: AnalyzedData,
    out: str | Path,
    settings: Settings | None = None,
    image_size: int | None = None,
    batch_size: int = 64,
    workers: int = 4,
    say: Callable[[str], None] = lambda text: None,
    progress: bool = False,
) -> dict[str, Any]:
    """Look at checkpoints through the images of a dataset, and write a report.

    Into ``out``: ``report.html``, which needs nothing but a browser;
    ``results.json`` with all numbers; ``figures/*.png``; and what makes the
    same call fast or goes on after an interruption, ``features/`` (N rows of
    features and predictions in single precision) and ``measures/``.

    Args:
        sources: Of the checkpoints; each becomes a column.
        data: The images.
        out: Folder, made if it is missing.
        settings: How much to show.
        image_size: Height and width of the images; by default each encoder's.
        batch_size: Images that pass a model together.
        workers: Processes that load images.
        say: Is told what is being done.
        progress: Whether to show a bar while features are extracted.

    Returns:
        What ``results.json`` holds.

    Raises:
        UserError: If a source appears twice, its weights are incomplete, the
            folder cannot be written, or as :class:`FeatureStore`.
    """
    settings = settings or Settings()
    layout = choose_layout(settings.layout)
    settings = replace(settings, layout=layout)
    digests = [source.digest for source in sources]
    for source in sources:
        if digests.count(source.digest) > 1:
            raise UserError(f'{source.name} is named twice: give each checkpoint once')
    sources = named_apart(sources)
    most = max(settings.clusters or (1,))
    if most > len(data):
        raise UserError(f'k-means: {most} clusters of {len(data)} images; ask for fewer')
    out = Path(out)
    counts = data.counts()
    groups = None if counts is None else frequency_groups(counts, *(settings.groups or ()))
    models: list[dict[str, Any]] = []
    for number, source in enumerate(sources, 1):

        def tell(text: str, head: str = f'[{number}/{len(sources)}] {source.name}') -> None:
            say(f'{head}: {text}')

        work = _Work(data, out, settings, groups, image_size, batch_size, workers, tell, progress)
        models.append(work.model(source))
    results = _rounded(
        dict(
            version=__version__,
            data=_described(data, groups, models[0]['skipped']),
            settings=vars(settings),
            models=models,
        )
    )
    say('pictures and page')
    try:
        write_report(results, data, out)
    except OSError as error:
        raise UserError(
            f'{printable(out)} cannot be written: {error.strerror or error}: name another folder, '
            'or make room there'
        ) from error
    return results


class _Work:
    """One model after the other through the same images."""

    def __init__(
        self,
        data: AnalyzedData,
        out: Path,
        settings: Settings,
        groups: FrequencyGroups | None,
        image_size: int | None,
        batch_size: int,
        workers: int,
        say: Callable[[str], None],
        progress: bool,
    ) -> None:
        self.data, self.out, self.settings, self.groups = data, out, settings, groups
        self.image_size, self.batch_size, self.workers = image_size, batch_size, workers
        self.say, self.progress = say, progress

    def model(self, source: EncoderSource) -> dict[str, Any]:
        """Numbers and positions of one model, taken up where an earlier call was cut off."""
        model = open_model(source, self.image_size).to(get_device())
        cfg = None if self.image_size else source.cfg
        dataset = self.data.with_steps(encoder_steps(cfg, model.encoder.size))
        self.say(f'features of {len(dataset)} images')
        with _bar(self.progress, source.name, len(dataset)) as advance:

            def forward(images: Tensor) -> dict[str, Tensor]:
                outputs = model(images)
                advance(len(images))
                return outputs

            store = FeatureStore.open_or_extract(
                self.out / 'features',
                model,
                dataset,
                model.outputs,
                forward=forward,
                identity=[source.digest],
                dtype='float32',
                batch_size=self.batch_size,
                num_workers=self.workers,
                chunk=CHUNK,
                name=source.name,
            )
        key = json.dumps([VERSION, store.folder.name, vars(self.settings), str(self.groups)])
        kept = self.out / 'measures' / f'{hashlib.sha256(key.encode()).hexdigest()[:16]}.json'
        if kept.is_file():
            self.say('measured already')
            return model.summary() | json.loads(kept.read_text(encoding='utf-8'))
        result = self._measured(model, dataset, store)
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix('.part')
        part.write_text(json.dumps(result), encoding='utf-8')
        part.replace(kept)
        return model.summary() | result

    def _measured(self, model: AnalyzedModel, dataset: Any, store: FeatureStore) -> dict[str, Any]:
        rows = store.features(FEATURE)
        index, counts = rows.sample_idx, self.data.counts()
        labels = None if self.data.labels is None else self.data.labels[index.numpy()]
        gathered = Gathered(
            features=rows.features,
            labels=labels,
            classes=0 if counts is None else len(counts),
            groups=self.groups,
        )
        if model.has_prototypes:
            gathered = replace(
                gathered,
                log_probs=store.features(LOG_PROBS).features,
                log_prior=model.log_prior(counts),
                prototypes=model.head.prototypes.detach().cpu(),
                temperature=model.head.temperature,
            )
        shown, attended = sample_shown(len(index), labels, self.settings)
        result = measure_model(gathered, shown, self.settings, self.say)
        if counts is not None:
            for entry in result['clusterings']:
                entry['as_classes'] = entry['clusters'] == int((counts > 0).sum())
        self.say('attention')
        result['attention'] = attention_pictures(
            model, dataset, [int(index[row]) for row in attended]
        )
        result['points'] = index[shown.points].tolist()
        for entry in result['gallery']:
            entry['nearest'] = [int(index[row]) for row in entry['nearest']]
        for entry in result['retrieval']['queries']:
            entry['query'] = int(index[entry['query']])
            entry['neighbours'] = [(int(index[row]), cos) for row, cos in entry['neighbours']]
        effective = None if counts is None else effective_number(counts)
        result['remarks'] = remarks(result, effective)
        result['skipped'] = len(store.manifest['skipped'])
        return result


def _described(data: AnalyzedData, groups: FrequencyGroups | None, skipped: int) -> dict[str, Any]:
    counts = data.counts()
    described: dict[str, Any] = dict(
        title=data.title, images=len(data), of=data.total, skipped=skipped, classes=None
    )
    if counts is not None and groups is not None:
        assert data.classes is not None
        described['classes'] = [
            dict(name=name, images=int(count), group=GROUP_NAMES[group] if group >= 0 else None)
            for name, count, group in zip(data.classes, counts, groups.of_class)
        ]
        described['effective_classes'] = effective_number(counts)
        described['gini_classes'] = gini(counts[counts > 0])
        described['groups'] = groups.rule
        described['parted'] = len(set(groups.of_class[counts > 0].tolist())) > 1
    return described


def _rounded(value: Any) -> Any:
    """Numbers of six digits, which is more than they mean and the same on each run."""
    if isinstance(value, float):
        return float(f'{value:.{DIGITS}g}')
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


@contextmanager
def _bar(shown: bool, name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar of images; at its end it is full, whatever was there before."""
    if not shown:
        yield lambda count: None
        return
    from rich.progress import MofNCompleteColumn, Progress

    with Progress(*Progress.get_default_columns(), MofNCompleteColumn()) as bar:
        task = bar.add_task(name, total=total)
        # The width of the features is found by an image that passes twice.
        yield lambda count: bar.advance(task, count)
        bar.update(task, completed=total)

"""One task of one checkpoint: from its data to its scores."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ..errors import UserError, printable
from .encoder import Encoder
from .encoder_source import EncoderSource
from .feature_store import FeatureStore
from .features import Features
from .low_shot import read_subset
from .stored_probe import stored_probe
from .task_scores import ScoreSettings, TaskFeatures, score
from .tasks import Task, build_dataset, pipeline
from .training_counts import training_counts

__all__ = ['FEATURES', 'PROTOCOLS', 'ConfigProbe', 'Evaluation', 'Protocol', 'run_task']


class Protocol(NamedTuple):
    """What sets a protocol apart.

    Args:
        feature: That k-NN and low-shot read; by default the encoder's own.
        by_config: Whether the linear probe is trained by a config.
        interpolation: Of all images; by default the task's.
    """

    feature: str | None = None
    by_config: bool = False
    interpolation: str | None = None


PROTOCOLS = {
    'fast': Protocol(),
    'vissl': Protocol(by_config=True),
    # Its evaluations resize with torchvision's default.
    'msn': Protocol('cls_raw', by_config=True, interpolation='bilinear'),
}
FEATURES = 'features'

#: Trains the linear probe of a task by its config: (source, encoder, task, root, work_dir) to
#: scores with 'top1', or None where the protocol has no config for the task.
ConfigProbe = Callable[[EncoderSource, Encoder, Task, str, Path], dict[str, Any] | None]


@dataclass(frozen=True)
class Evaluation:
    """How to evaluate.

    Args:
        out: Folder of the results, of what is needed to go on, and of features.
        protocol: One of ``PROTOCOLS``.
        data_root: Folder of the folders of all downloads.
        roots: Folders of single tasks, by name.
        lists: Published low-shot lists, by task.
        scores: What is scored.
        image_size: Height and width; by default the encoder's own.
        batch_size: Images that pass the encoder together, on each rank.
        workers: Processes that load images, on each rank.
        keep_features: Whether the features stay on the disk.
    """

    out: Path
    protocol: str = 'fast'
    data_root: str = 'data'
    roots: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, str] = field(default_factory=dict)
    scores: ScoreSettings = field(default_factory=ScoreSettings)
    image_size: int | None = None
    batch_size: int = 64
    workers: int = 4
    keep_features: bool = False

    def root(self, task: Task) -> str:
        """Folder of a task's data."""
        return task.root(self.data_root, self.roots)


def run_task(
    source: EncoderSource,
    encoder: Encoder,
    task: Task,
    settings: Evaluation,
    config_probe: ConfigProbe | None,
    folder: Path,
    key: str,
    device: str,
    said: Callable[[str], None],
) -> dict[str, Any]:
    """Extract the features of a task, and score them.

    Args:
        source: Of the encoder.
        encoder: On its device.
        task: The task, whose data are there.
        settings: How.
        config_probe: Trains the linear probe of protocols that have configs.
        folder: For features and the probe's log.
        key: What the result depends on, in a word: a probe that was trained for another is not
            gone on with.
        device: Where distances and regressions are computed.
        said: Is told what comes next.

    Returns:
        As :func:`~.task_scores.score`; where the probe by its config fails,
        'linear' has the reason under 'failed'.

    Raises:
        UserError: If the data are malformed, images are in both splits, or
            one of the test split cannot be decoded.
    """
    root = settings.root(task)
    protocol = PROTOCOLS[settings.protocol]
    steps = pipeline(task, encoder.size, encoder.is_vit, protocol.interpolation)
    datasets = {split: build_dataset(task, split, root, steps) for split in ('train', 'test')}
    paths = {split: _paths(dataset) for split, dataset in datasets.items()}
    _check_overlap(task, paths)
    stores: dict[str, Features] = {}
    for split, dataset in datasets.items():
        said(f'features of the {len(dataset)} images of the {split} split')
        stores[split] = _features(encoder, dataset, task, split, settings, folder)
        left_out = len(dataset) - len(stores[split].features)
        if left_out:
            said(f'{left_out} images of the {split} split cannot be decoded and are left out')
    features = TaskFeatures(
        stores['train'].features,
        stores['train'].require_labels(f'{task.title}: the training split'),
        stores['test'].features,
        stores['test'].require_labels(f'{task.title}: the test split'),
    )
    published = None
    if task.name in settings.lists:
        if paths['train'] is None:
            raise UserError(f'{task.title}: its images have no names; a list cannot name them')
        names = paths['train']
        kept = [names[i] for i in stores['train'].sample_idx.tolist()]
        published = read_subset(settings.lists[task.name], kept)

    def linear() -> tuple[Tensor, dict[str, Any]]:
        return stored_probe(features, task, encoder.is_vit, device)

    counts = training_counts(source.cfg, task, root)
    scores = score(
        features,
        task.classes,
        None if protocol.by_config else linear,
        settings.scores,
        counts,
        device,
        published,
        said,
    )
    if protocol.by_config and config_probe is not None:
        said('linear probe by its config')
        try:
            probed = config_probe(source, encoder, task, root, folder / 'linear' / key[:16])
        except UserError as error:
            # The other scores are there.
            probed = dict(failed=str(error))
        if probed is not None:
            scores['linear'] = probed
    return scores


def _features(
    encoder: Encoder, dataset: Any, task: Task, split: str, settings: Evaluation, folder: Path
) -> Features:
    store = FeatureStore.open_or_extract(
        folder / FEATURES,
        encoder,
        dataset,
        ['features'],
        forward=lambda images: {'features': encoder(images)},
        dtype='float32',
        batch_size=settings.batch_size,
        num_workers=settings.workers,
        name=f'{task.title}, {split} split',
    )
    skipped = store.manifest['skipped']
    if skipped and split == 'test':
        position, reason = skipped[0]
        raise UserError(
            f'{task.title}: {len(skipped)} images of the test split cannot be decoded; the first: '
            f'{printable(dataset.get_data_info(position).get("img_path"))} ({reason}); an '
            'evaluation skips no image: restore the files'
        )
    return store.features('features')


def _paths(dataset: Any) -> list[str] | None:
    infos = (dataset.get_data_info(i) for i in range(len(dataset)))
    paths = [info.get('img_path') for info in infos]
    return None if None in paths else paths


def _check_overlap(task: Task, paths: Mapping[str, list[str] | None]) -> None:
    shared = sorted(set(paths['train'] or ()) & set(paths['test'] or ()))
    if shared:
        raise UserError(
            f'{task.title}: {len(shared)} images are in both splits, the first: '
            f'{printable(shared[0])}; tools/check_dataset.py {task.name} names more'
        )

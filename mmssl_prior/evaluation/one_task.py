"""One task of one checkpoint: from its data to its scores."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ..errors import UserError
from .encoder import Encoder
from .encoder_source import EncoderSource
from .extraction import OWN, Extraction, among, published_lists, task_features
from .representation import alignment
from .stored_probe import stored_probe
from .task_data import read_task
from .task_scores import ScoreSettings, score
from .tasks import Task, pipeline
from .training_counts import training_counts
from .two_views import two_views

__all__ = [
    'FEATURES',
    'PROTOCOLS',
    'ConfigProbe',
    'Evaluation',
    'ProbeTask',
    'Protocol',
    'run_task',
]


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
FEATURES = 'features'  # folder of the stored ones


class ProbeTask(NamedTuple):
    """What a probe that is trained by its config needs to know.

    Attributes:
        source: Of the encoder.
        encoder: On its device.
        task: The task, whose data are there.
        root: Their folder.
        work_dir: Of the training, which may have begun earlier.
        counts: Training images of each class, for the groups.
    """

    source: EncoderSource
    encoder: Encoder
    task: Task
    root: str
    work_dir: Path
    counts: Tensor


#: Trains the linear probe of a task by its config, to what
#: :func:`~.linear_entry.linear_entry` gives, or None where the protocol has no config for it.
ConfigProbe = Callable[[ProbeTask], dict[str, Any] | None]


@dataclass(frozen=True)
class Evaluation:
    """How to evaluate.

    Args:
        out: Folder of the results, of what is needed to go on, and of features.
        protocol: One of ``PROTOCOLS``.
        data_root: Folder of the folders of all downloads.
        roots: Folders of single tasks, by name.
        lists: Published low-shot lists, by task.
        probe_features: Further features for the linear probe, by their names
            in :func:`~mmssl_prior.models.trunk_features`.
        lr_multipliers: A copy of each head of the linear probe for each; with
            1, the recipe's own rate, among them.
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
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    probe_features: tuple[str, ...] = ()
    lr_multipliers: tuple[float, ...] = (1.0,)
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
) -> tuple[dict[str, Any], str]:
    """Extract the features of a task, and score them.

    Args:
        source: Of the encoder.
        encoder: On its device.
        task: The task, whose data are there.
        settings: How.
        config_probe: Trains the linear probe of protocols that have configs.
        folder: Of the checkpoint: for features and the probe's log.
        key: What the result depends on, in a word: a probe that was trained for another is not
            gone on with.
        device: Where distances and regressions are computed.
        said: Is told what comes next.

    Returns:
        As :func:`~.task_scores.score`, and 'alignment' and 'groups_of'; where
        the probe by its config fails, 'linear' has the reason under 'failed'.
        And the digest of the data's lists.

    Raises:
        UserError: If the data are malformed, images are in both splits, or
            one of the test split cannot be decoded.
    """
    root = settings.root(task)
    protocol = PROTOCOLS[settings.protocol]
    steps = pipeline(task, encoder.size, encoder.is_vit, protocol.interpolation)
    data = read_task(task, root, steps)
    lists = published_lists(settings.lists.get(task.name, ()), task.title, data)
    # A probe by its config has heads of its own.
    more = () if protocol.by_config else settings.probe_features
    extraction = Extraction(
        encoder,
        task.title,
        folder / FEATURES / task.features,
        more,
        settings.batch_size,
        settings.workers,
    )
    stores = {}
    for split, dataset in data.datasets.items():
        said(f'features of the {len(dataset)} images of the {split} split')
        stores[split] = extraction.of(dataset, f'{split} split', complete=split == 'test')
        left_out = len(dataset) - len(stores[split][OWN].features)
        if left_out:
            said(f'{left_out} images of the {split} split cannot be decoded and are left out')
    features = task_features(stores, data)
    if lists:
        lists = among(lists, data, stores['train'][OWN])
    counts = training_counts(source.cfg, task, root, features.train_y)
    said(f'training images of each class: those of {counts.reason}')
    few, many = settings.scores.groups

    def linear() -> dict[str, Any]:
        return stored_probe(
            features,
            task,
            encoder.is_vit,
            device,
            counts.counts,
            settings.scores.groups,
            settings.lr_multipliers,
        )

    scores = score(
        features,
        task.classes,
        None if protocol.by_config else linear,
        settings.scores,
        counts.counts,
        device,
        lists,
        said,
    )
    scores['groups_of'] = dict(
        source=counts.source, reason=counts.reason, few_below=few, many_above=many
    )
    measures = settings.scores.measures
    if 'alignment' in measures:
        said('alignment')
        of_views = extraction._replace(more=())
        views = [
            of_views.of(view, f'test split, view {number}', complete=True)[OWN].features
            for number, view in enumerate(
                two_views(data.datasets['test'], encoder.size, task.in_memory), 1
            )
        ]
        first, second = views
        scores.update(alignment=alignment(first, second), alignment_images=len(first))
    if protocol.by_config and config_probe is not None and 'linear' in measures:
        said('linear probe by its config')
        # Data that have grown since are another training, too.
        begun = hashlib.sha256(f'{key} {data.digest}'.encode()).hexdigest()[:16]
        work_dir = folder / task.name / 'linear' / begun
        try:
            probed = config_probe(ProbeTask(source, encoder, task, root, work_dir, counts.counts))
        except UserError as error:
            # The other scores are there.
            probed = dict(failed=str(error))
        if probed is not None:
            scores['linear'] = probed
    return scores, data.digest

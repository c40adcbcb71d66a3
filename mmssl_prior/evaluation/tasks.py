"""The downstream tasks, one entry each; a task of your own is one more entry."""

import os.path as osp
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmpretrain.registry import DATASETS

from ..errors import UserError, printable
from .probe_features import ProbeRecipe

__all__ = ['EMBEDDED', 'SEVEN', 'TASKS', 'Task', 'build_dataset', 'pipeline', 'select_tasks']

CROP_SHARE = 224 / 256  # of the short side, that the central crop keeps


@dataclass(frozen=True)
class Task:
    """A downstream task: which data, how many classes, seen how, judged how.

    Args:
        name: On the command line.
        title: In tables, as the paper names the task.
        dataset: Registered class of both splits.
        classes: Number of classes.
        train: Arguments of the split that probes learn from.
        test: Arguments of the split that is scored.
        view: 'crop' (short side, then the central crop) or 'whole' (the whole
            image, to a square), and the interpolation.
        vit_view: The same for vision transformers, where it differs.
        metric: 'top1' or 'class_mean_top1', the number of the main table.
        folder: Below the data root. Empty for data that are embedded.
        needs: Files and folders in it without which the task cannot run.
        sizes: Images of the two splits of the full data.
        recipe: Training of the linear probe on stored features; VISSL's for
            the seven.
        benchmark: Name in ``configs/benchmarks/linear``.
        images: One word for tasks that ask other questions of the same
            images, whose features are extracted once; by default the name.
    """

    name: str
    title: str
    dataset: str
    classes: int
    train: Mapping[str, Any] = field(default_factory=lambda: dict(split='train'))
    test: Mapping[str, Any] = field(default_factory=lambda: dict(split='val'))
    view: tuple[str, str] = ('crop', 'bilinear')
    vit_view: tuple[str, str] | None = None
    metric: str = 'top1'
    folder: str = ''
    needs: tuple[str, ...] = ()
    sizes: tuple[int, int] | None = None
    recipe: ProbeRecipe = ProbeRecipe()
    benchmark: str = ''
    images: str = ''

    @property
    def features(self) -> str:
        """Name of the folder of its features."""
        return self.images or self.name

    @property
    def in_memory(self) -> bool:
        """Whether images come as arrays, as those of CIFAR-100 and the embedded data do."""
        return not self.folder or self.dataset == 'CIFAR100Archive'

    def root(self, data_root: str, roots: Mapping[str, str]) -> str:
        """Folder of the data: the one named for this task, else its place below the data root."""
        return osp.expanduser(roots.get(self.name) or osp.join(data_root, self.folder))

    def missing(self, root: str) -> str | None:
        """The first path that the task needs and that is not there; None if it can run."""
        paths = (osp.join(root, name) for name in self.needs)
        return next((path for path in paths if not osp.exists(path)), None)


BICUBIC = ('crop', 'bicubic')
WHOLE = ('whole', 'bilinear')
CLEVR = ('images', 'scenes/CLEVR_train_scenes.json', 'scenes/CLEVR_val_scenes.json')
#: Of ours, for the embedded data: hundreds of images.
SMALL = ProbeRecipe(epochs=100, lr=0.1, batch_size=64, cosine_to=0.0, by_epoch=False)


def _embedded(name: str, title: str, dataset: str, classes: int, **target: str) -> Task:
    # 'train' is what a model is pretrained on; probes learn from the balanced split.
    train, test = dict(split='probe', **target), dict(split='test', **target)
    images = 'scenes' if dataset == 'ScenesLT' else ''
    return Task(name, title, dataset, classes, train, test, view=WHOLE, recipe=SMALL, images=images)


TASKS = {
    task.name: task
    for task in (
        Task(
            'imagenet',
            'IN1K',
            'ImageNet1K',
            1000,
            vit_view=BICUBIC,
            folder='imagenet',
            needs=('train', 'val'),
            sizes=(1281167, 50000),
            benchmark='in1k',
        ),
        Task(
            'inat18',
            'iNat18',
            'INaturalist2018',
            8142,
            vit_view=BICUBIC,
            folder='inaturalist2018',
            needs=('train2018.json', 'val2018.json', 'train_val2018'),
            recipe=ProbeRecipe(epochs=84, milestones=(24, 48, 72)),
            sizes=(437513, 24426),
            benchmark='inat18',
        ),
        Task(
            'cifar100',
            'CIFAR100',
            'CIFAR100Archive',
            100,
            test=dict(split='test'),
            view=WHOLE,
            vit_view=BICUBIC,
            folder='cifar100',
            needs=('cifar-100-python/train', 'cifar-100-python/test'),
            sizes=(50000, 10000),
            benchmark='cifar100',
        ),
        Task(
            'clevr-count',
            'Clevr/Count',
            'ClevrCount',
            8,
            view=WHOLE,
            folder='CLEVR_v1.0',
            needs=CLEVR,
            recipe=ProbeRecipe(epochs=50, cosine_to=0.01),
            sizes=(70000, 15000),
            benchmark='clevr-count',
            images='clevr',
        ),
        Task(
            'clevr-dist',
            'Clevr/Dist',
            'ClevrDist',
            6,
            view=WHOLE,
            folder='CLEVR_v1.0',
            needs=CLEVR,
            recipe=ProbeRecipe(epochs=100, cosine_to=0.01),
            sizes=(70000, 15000),
            benchmark='clevr-dist',
            images='clevr',
        ),
        Task(
            'kitti-dist',
            'KITTI/Dist',
            'KittiDist',
            4,
            folder='kitti',
            needs=('training/image_2', 'training/label_2'),
            sizes=(5985, 1496),
            benchmark='kitti-dist',
        ),
        Task(
            'places205',
            'Places205',
            'Places205CSV',
            205,
            vit_view=BICUBIC,
            folder='places205',
            needs=(
                'trainvalsplit_places205/train_places205.csv',
                'trainvalsplit_places205/val_places205.csv',
                'data/vision/torralba/deeplearning/images256',
            ),
            recipe=ProbeRecipe(epochs=14, milestones=(4, 8, 12)),
            sizes=(2448873, 20500),
            benchmark='places205',
        ),
        _embedded('scenes-kind', 'Scenes/Kind', 'ScenesLT', 16, target='kind'),
        _embedded('scenes-count', 'Scenes/Count', 'ScenesLT', 8, target='count'),
        _embedded('scenes-distance', 'Scenes/Dist', 'ScenesLT', 4, target='distance'),
        _embedded('patterns', 'Patterns', 'PatternsLT', 16),
        _embedded('digits', 'Digits', 'DigitsLT', 10),
    )
}
SEVEN = tuple(name for name, task in TASKS.items() if task.folder)
EMBEDDED = tuple(name for name, task in TASKS.items() if not task.folder)
GROUPS = {'all': SEVEN, 'embedded': EMBEDDED}


def select_tasks(names: Sequence[str]) -> list[Task]:
    """The tasks of names on the command line, in the order of the table, each once.

    Args:
        names: Tasks, 'all' (the seven on public data) or 'embedded'.

    Raises:
        UserError: If a name is unknown.

    Example:
        >>> [task.title for task in select_tasks(['clevr-dist', 'imagenet'])]
        ['IN1K', 'Clevr/Dist']
    """
    chosen: set[str] = set()
    for name in names:
        if name not in TASKS and name not in GROUPS:
            raise UserError(f'unknown task {name!r}; expected {", ".join([*GROUPS, *TASKS])}')
        chosen.update(GROUPS.get(name, (name,)))
    return [task for name, task in TASKS.items() if name in chosen]


def pipeline(task: Task, size: int, is_vit: bool, interpolation: str | None = None) -> list[dict]:
    """The deterministic transforms of a task for images of ``size`` pixels.

    Args:
        task: The task.
        size: Height and width that the encoder takes.
        is_vit: Whether the encoder is a vision transformer.
        interpolation: By default the task's.

    Example:
        >>> [step['type'] for step in pipeline(TASKS['digits'], 32, is_vit=True)]
        ['Resize', 'PackInputs']
    """
    kind, own = (is_vit and task.vit_view) or task.view
    look = dict(backend='pillow', interpolation=interpolation or own)
    if kind == 'crop':
        steps = [
            dict(type='ResizeEdge', scale=round(size / CROP_SHARE), edge='short', **look),
            dict(type='CenterCrop', crop_size=size),
        ]
    else:
        steps = [dict(type='Resize', scale=(size, size), **look)]
    return [*([] if task.in_memory else [dict(type='LoadImage')]), *steps, dict(type='PackInputs')]


def build_dataset(task: Task, split: str, root: str, steps: Sequence[dict] = ()) -> Any:
    """One split of a task, for evaluation.

    Args:
        task: The task.
        split: 'train' or 'test', whatever the dataset calls them.
        root: Folder of the data.
        steps: Transforms; none for the annotations alone.

    Raises:
        UserError: If the data are missing or malformed, or a label is not one
            of the task's classes.
    """
    arguments = dict(getattr(task, split), pipeline=list(steps), test_mode=True)
    if task.folder:
        arguments['data_root'] = root
    dataset = DATASETS.build(dict(type=task.dataset, **arguments))
    dataset.full_init()
    found = len(dataset.metainfo.get('classes', ()))
    if found != task.classes:
        raise UserError(
            f'{task.title}: {printable(root)} has {found} classes, the task {task.classes}'
        )
    return dataset

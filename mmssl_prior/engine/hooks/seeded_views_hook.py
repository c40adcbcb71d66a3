"""Guard against views that repeat in every epoch."""

from mmengine.dataset import ClassBalancedDataset
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmpretrain.datasets.transforms import MultiView
from mmpretrain.registry import HOOKS

from ...datasets.samplers import EpochIndex
from ...datasets.transforms import SeededMultiView, SeededTransform
from ...errors import UserError
from ...models.data_preprocessors import MultiViewDataPreprocessor

__all__ = ['SeededViewsHook']


@HOOKS.register_module()
class SeededViewsHook(Hook):
    """Check before training that the epoch reaches the seeded transforms.

    They draw from (seed, epoch, index); with a sampler that yields plain
    integers, or behind a wrapper that drops the epoch from the index, every
    epoch would silently repeat the views of the first.

    On resume the hook also hands the seed in the checkpoint to a sampler that
    had the Runner's seed: MMEngine builds the sampler before it reads the
    checkpoint, so that a run without a seed of its own would go on with
    another order and other views.

    And it checks that views left to the device have someone there to make them.

    Raises:
        UserError: Before training, if the epoch does not arrive, or the
            model's data preprocessor makes no views and should.
    """

    def __init__(self):
        self._seed = None

    def before_run(self, runner):
        """Remember the seed that the sampler was given, before a checkpoint is read."""
        self._seed = runner.seed

    def before_train(self, runner):
        """Check sampler, dataset wrappers and pipelines."""
        loader = runner.train_loop.dataloader
        sampler = getattr(loader.batch_sampler, 'sampler', None)
        if self._seed is not None and getattr(sampler, 'seed', None) == self._seed:
            vars(sampler).update(seed=runner.seed)
        datasets = list(_walk(loader.dataset))
        steps = [step for data in datasets for step in _steps(getattr(data, 'pipeline', None))]
        if not any(isinstance(step, (SeededMultiView, SeededTransform)) for step in steps):
            return
        for step in steps:
            if isinstance(step, MultiView) and any(
                isinstance(inner, SeededTransform) for inner in _steps(step.pipelines)
            ):
                raise UserError(
                    'train_dataloader: MultiView with seeded transforms makes all '
                    "views of an image alike; use type='SeededMultiView'"
                )
        if any(getattr(step, 'backend', None) == 'device' for step in steps):
            _check_preprocessor(runner.model)
        if not isinstance(_first_index(loader), EpochIndex):
            raise UserError(
                'train_dataloader: the sampler does not pass on the epoch, so that '
                'seeded views would repeat in every epoch; use '
                "sampler=dict(type='EpochSampler', shuffle=True)"
            )
        for data in datasets:
            if _drops_epoch(data):
                raise UserError(
                    f'train_dataloader: the dataset wrapper {type(data).__name__} '
                    'drops the epoch from the index, so that seeded views would '
                    f'repeat in every epoch; use {_instead(data)}'
                )


def _check_preprocessor(model):
    """Refuse a model that would take images and parameters for views."""
    model = model.module if is_model_wrapper(model) else model
    preprocessor = getattr(model, 'data_preprocessor', None)
    if not isinstance(preprocessor, MultiViewDataPreprocessor):
        raise UserError(
            "train_dataloader: SeededMultiView has backend='device', but "
            f'{type(preprocessor).__name__} makes no views: set type='
            "'MultiViewDataPreprocessor' in model.data_preprocessor, or backend='opencv'"
        )


def _instead(dataset):
    """What to use in place of a wrapper."""
    if isinstance(dataset, ClassBalancedDataset):
        return "type='SeededClassBalancedDataset', or ResamplingBatchSampler in its place"
    return 'ConcatDataset or RepeatDataset, or a sampler in its place'


def _walk(dataset):
    """The dataset and all that it wraps."""
    yield dataset
    attributes = getattr(dataset, '__dict__', {})
    for inner in (attributes.get('dataset'), attributes.get('_dataset')):
        if inner is not None:
            yield from _walk(inner)
    for inner in attributes.get('datasets') or ():
        yield from _walk(inner)


def _steps(pipeline):
    """All transforms of a pipeline, those within others too."""
    if isinstance(pipeline, (list, tuple)):
        for step in pipeline:
            yield from _steps(step)
    elif pipeline is not None:
        yield pipeline
        for name in ('transforms', 'pipelines'):
            yield from _steps(getattr(pipeline, name, None))


def _first_index(loader):
    """What the sampler yields first."""
    first = next(iter(loader.batch_sampler or loader.sampler), None)
    return first[0] if isinstance(first, (list, tuple)) and first else first


def _drops_epoch(dataset):
    """Whether an index loses its epoch on the way to the sample."""
    if not hasattr(dataset, 'get_data_info'):
        # Not of MMEngine: torch's Subset and the like look the index up.
        return hasattr(dataset, 'dataset')
    probe = EpochIndex(0, seed=1, epoch=2)
    seen = dataset.get_data_info(probe).get('sample_idx')
    return getattr(seen, 'epoch', None) != 2

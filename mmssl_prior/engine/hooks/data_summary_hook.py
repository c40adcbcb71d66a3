"""What a training is about to do, in one block of the log."""

from mmengine import dist
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop
from mmpretrain.registry import HOOKS

from ...datasets import ClassBatchSampler, FolderScan, HeaderSummary, summarise_headers
from ...errors import UserError, printable
from ..local_batch_size import local_batch_size
from ..step_probe import StepTime, measure_step

__all__ = ['DataSummaryHook', 'duration']

NAMED = 5
IMAGES_PER_PROTOTYPE = 10
FEW_IMAGES = 1000


@HOOKS.register_module()
class DataSummaryHook(Hook):
    """Log a summary of the data and an estimate of the time before training.

    How many images there are, their sizes and formats (from the headers of a
    sample), what was left out (of an :class:`ImageFolder`) or cannot be read,
    steps and epochs, and what a step will take: the loading of a few images
    and one forward and backward pass are measured. That leaves no trace:
    generators, buffers, gradients and counters are afterwards what they were,
    so that the weights after training are the same with and without this
    hook. The estimate has no optimizer step, validation or checkpoints in it.
    On resume there is one line about what remains.

    It warns where there are fewer than ten images for each prototype and
    where there are fewer than a thousand images.

    Args:
        max_headers: Number of headers to read; 0 reads none.
        measure: Whether to measure a step.

    Raises:
        UserError: If ``max_headers`` is negative.
    """

    # After the hooks that complete the model, such as a prior's counts.
    priority = 'VERY_LOW'

    def __init__(self, max_headers: int = 1000, measure: bool = True) -> None:
        if not (isinstance(max_headers, int) and max_headers >= 0):
            raise UserError(f'max_headers must be an integer >= 0, got {max_headers!r}')
        self.max_headers = max_headers
        self.measure = measure

    def before_train(self, runner) -> None:
        """Look, measure and log."""
        loop = runner.train_loop
        if runner.iter:
            runner.logger.info(_resumed(runner))
            return
        lines = self._data(loop.dataloader.dataset, runner.seed or 0) + _plan(runner)
        if self.measure:
            lines += _time(runner)
        width = max(len(name) for name, _ in lines)
        block = [f'  {name:<{width}}  {text}' for name, text in lines]
        runner.logger.info('\n'.join(['Before training:', *block]))
        _warn(runner)

    def _data(self, dataset, seed: int) -> list[tuple[str, str]]:
        lines = [
            ('folder', printable(scanned.img_prefix))
            for scanned in _inner(dataset)
            if getattr(scanned, 'scan', None) is not None
        ]
        lines.append(('images', f'{len(dataset):,} ({type(dataset).__name__})'))
        # One rank looks for all.
        if self.max_headers and dist.is_main_process():
            paths = _paths(dataset)
            if paths:
                lines += _headers(summarise_headers(paths, seed, self.max_headers))
        scans = [getattr(inner, 'scan', None) for inner in _inner(dataset)]
        skipped = [scan.skipped(NAMED) for scan in scans if isinstance(scan, FolderScan)]
        if skipped:
            lines.append(('skipped', '; '.join(filter(None, skipped)) or 'nothing'))
        return lines


def _resumed(runner) -> str:
    loop = runner.train_loop
    if not isinstance(loop, EpochBasedTrainLoop):
        left = runner.max_iters - runner.iter
        return f'Resumed at step {runner.iter} of {runner.max_iters}: {left} steps remain'
    # The epochs that are done may have had another number of steps.
    epochs, steps = max(runner.max_epochs - runner.epoch, 0), len(loop.dataloader)
    return (
        f'Resumed after epoch {runner.epoch} of {runner.max_epochs}, at step {runner.iter}: '
        f'{epochs} epochs of {steps} steps remain, {epochs * steps:,} steps'
    )


def _inner(dataset):
    """The datasets within wrappers, or the dataset itself."""
    attributes = getattr(dataset, '__dict__', {})
    inner = [attributes['dataset']] if 'dataset' in attributes else []
    inner += attributes.get('datasets') or []
    if not inner:
        yield dataset
    for item in inner:
        yield from _inner(item)


def _paths(dataset) -> list[str]:
    """Paths of the images, if they are files."""
    if not len(dataset) or not hasattr(dataset, 'get_data_info'):
        return []
    if 'img_path' not in dataset.get_data_info(0):
        return []
    return [dataset.get_data_info(i).get('img_path', '') for i in range(len(dataset))]


def _headers(headers: HeaderSummary) -> list[tuple[str, str]]:
    sizes = [f'{w}x{h}' for w, h in (headers.smallest, headers.median, headers.largest)]
    formats = ', '.join(f'{count} {name}' for name, count in headers.formats.items())
    lines = []
    if headers.read:
        turned = f', {headers.turned} turned by EXIF' if headers.turned else ''
        lines = [
            ('sizes', f'{sizes[0]} smallest, {sizes[1]} median, {sizes[2]} largest'),
            ('formats', f'{formats} (of {headers.read} headers read{turned})'),
        ]
    if headers.unreadable:
        names = [f'{printable(path)} ({reason})' for path, reason in headers.unreadable[:NAMED]]
        more = ', ...' if len(headers.unreadable) > NAMED else ''
        total = headers.read + len(headers.unreadable)
        lines.append(
            (
                'unreadable',
                f'{len(headers.unreadable)} of {total} headers, replaced in training: '
                f'{", ".join(names)}{more}',
            )
        )
    return lines


def _plan(runner) -> list[tuple[str, str]]:
    loader, ranks = runner.train_loop.dataloader, dist.get_world_size()
    batch = local_batch_size(loader)
    together = f'{batch} x {ranks} ranks = {batch * ranks}' if ranks > 1 else f'{batch}'
    lines = [
        (
            'training',
            f'{runner.max_epochs} epochs of {len(loader)} steps = {runner.max_iters:,} steps, '
            f'batch {together}',
        )
    ]
    if isinstance(loader.batch_sampler, ClassBatchSampler):
        # It goes through the classes, so an epoch leaves out and repeats images of its own.
        return lines
    left = len(loader.dataset) - len(loader) * batch * ranks
    if left > 0:
        lines.append(('left over', f'{left} images that fill no batch, others in each epoch'))
    elif left < 0:
        lines.append(
            ('repeated', f'up to {-left} images an epoch, to give every rank the same number')
        )
    return lines


def _time(runner) -> list[tuple[str, str]]:
    try:
        measured: StepTime = measure_step(runner)
    except RuntimeError as error:
        # Reentrant checkpointing, for example, allows no torch.autograd.grad.
        return [('a step', f'not measured ({str(error).splitlines()[0]})')]
    step = (
        f'loading {measured.loading:.3g} s ({1000 * measured.image:.3g} ms an image, '
        f'{measured.workers} at a time), forward and backward {measured.compute:.3g} s: '
        f'{measured.bottleneck} is the bottleneck'
    )
    total = duration(measured.step * runner.max_iters)
    return [
        ('a step', step),
        (
            'time',
            f'about {total}, measured on {measured.images} images; without optimizer steps, '
            'validation and checkpoints',
        ),
    ]


def _warn(runner) -> None:
    images = len(runner.train_loop.dataloader.dataset)
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    prototypes = getattr(getattr(model, 'head', None), 'num_prototypes', 0)
    if images < IMAGES_PER_PROTOTYPE * prototypes:
        enough = 2 ** max(1, (images // IMAGES_PER_PROTOTYPE).bit_length() - 1)
        runner.logger.warning(
            f'{images} images for {prototypes} prototypes, fewer than {IMAGES_PER_PROTOTYPE} '
            f'each: --cfg-options model.head.num_prototypes={enough}'
        )
    if images < FEW_IMAGES:
        runner.logger.warning(
            f'{images} images are few to train on from random weights: add images, or start from '
            'a trained network (load_from, or init_cfg of model.backbone)'
        )


def duration(seconds: float) -> str:
    """A length of time in the two largest units that it has.

    >>> [duration(s) for s in (12.4, 95, 7260, 200000)]
    ['12 s', '1 min 35 s', '2 h 1 min', '2 d 7 h']
    """
    rest, parts = round(seconds), []
    for unit, length in (('d', 86400), ('h', 3600), ('min', 60), ('s', 1)):
        value, rest = divmod(rest, length)
        parts.append((value, unit))
    while len(parts) > 1 and not parts[0][0]:
        parts.pop(0)
    return ' '.join(f'{value} {unit}' for value, unit in parts[:2])

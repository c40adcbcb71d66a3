"""The images that a training will draw, and what its pipeline makes of them."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from mmengine.runner import Runner
from torch.utils.data import BatchSampler

from ..datasets.samplers.epoch_index import EpochIndex, index_generator
from ..datasets.transforms.seeded_transform import seeded_globals
from ..datasets.transforms.view_source import ViewSource
from ..errors import UserError
from .pixels import to_rgb_array

__all__ = ['BrowsedImage', 'browse']

# A stream of its own for transforms that draw from the global generators.
GLOBALS = 3


class BrowsedImage(NamedTuple):
    """One image before and after its pipeline; pictures are uint8 RGB of shape (H, W, 3)."""

    sample_idx: int
    path: str
    label: int | None
    original: np.ndarray
    views: list[np.ndarray]
    mask: np.ndarray | None


class _Recorder:
    """A dataset's pipeline that remembers the first and the last image in it."""

    def __init__(self, pipeline: Any) -> None:
        self.steps = list(getattr(pipeline, 'transforms', pipeline))
        self.forget()

    def forget(self) -> None:
        self.first: np.ndarray | None = None
        self.last: dict = {}

    def _note(self, results: dict) -> None:
        if results.get('img') is None:
            return
        if self.first is None:
            self.first = to_rgb_array(results['img'], results.get('img_norm_cfg'))
        self.last = results

    def __call__(self, results: dict) -> dict | None:
        # Anew for each image: one that cannot be decoded is replaced by another.
        self.forget()
        for step in [None, *self.steps]:
            changed = results if step is None else step(results)
            if changed is None:
                return None
            if isinstance(changed, dict):
                self._note(changed)
            results = changed
        return results

    def image(self, index: int) -> BrowsedImage:
        if self.first is None:
            raise UserError(f'image {index}: no step of the pipeline leaves an image under `img`')
        norm, image = self.last.get('img_norm_cfg'), self.last['img']
        if isinstance(image, ViewSource):
            image = image.render()  # as the device will
        views = image if isinstance(image, (list, tuple)) else [image]
        label, mask = self.last.get('gt_label'), self.last.get('mask')
        return BrowsedImage(
            sample_idx=int(index),
            path=str(self.last.get('img_path') or ''),
            label=None if label is None or np.ndim(label) else int(label),
            original=self.first,
            views=[to_rgb_array(view, norm) for view in views],
            mask=None if mask is None else np.asarray(mask),
        )


def browse(loader_cfg: dict, number: int, seed: int = 0, epoch: int = 0) -> Iterator[BrowsedImage]:
    """The first images that a training draws, with the views that it makes of them.

    The loader's own sampler draws in this process, so that with
    ``EpochSampler`` and seeded transforms these are to the pixel what a
    training of one process sees, with that seed and in that epoch. Other
    random transforms draw from the global generators, which are seeded for
    each image and restored.

    Args:
        loader_cfg: A dataloader's config.
        number: Number of images; fewer where the sampler draws fewer.
        seed: As the run's ``randomness.seed``.
        epoch: Counted from 0.

    Raises:
        UserError: If ``number`` is not positive, or no images under ``img``
            pass the pipeline.
    """
    if number < 1:
        raise UserError(f'the number of images must be at least 1, got {number}')
    if epoch < 0:
        raise UserError(f'epochs are counted from 1, got {epoch + 1}')
    workers = dict(num_workers=0, persistent_workers=False)
    cfg = {key: value for key, value in loader_cfg.items() if key != 'prefetch_factor'}
    loader = Runner.build_dataloader(cfg | workers, seed=seed)
    recorders = [_record(dataset) for dataset in _innermost(loader.dataset)]
    for drawn in islice(_indices(loader, epoch), number):
        for recorder in recorders:
            recorder.forget()
        with seeded_globals(index_generator(EpochIndex(drawn, seed, epoch), GLOBALS)):
            loader.dataset[drawn]
        yield next((one for one in recorders if one.last), recorders[0]).image(drawn)


def _innermost(dataset: Any) -> Iterator[Any]:
    """The datasets that have a pipeline, under their wrappers."""
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    if inner == [None]:
        if not hasattr(dataset, 'pipeline'):
            raise UserError(f'{type(dataset).__name__} has no pipeline to look into')
        yield dataset
        return
    for one in inner:
        yield from _innermost(one)


def _record(dataset: Any) -> _Recorder:
    dataset.pipeline = _Recorder(dataset.pipeline)
    return dataset.pipeline


def _indices(loader: Any, epoch: int) -> Iterator[int]:
    """What the sampler draws; not cut to whole batches where it is torch that makes these."""
    batches = loader.batch_sampler
    stock = type(batches) is BatchSampler
    sampler = batches.sampler if stock else batches
    for one in (sampler, getattr(sampler, 'sampler', None)):
        set_epoch = getattr(one, 'set_epoch', None)
        if set_epoch is not None:
            set_epoch(epoch)
    if stock:
        yield from sampler
    else:
        for batch in batches:
            yield from batch

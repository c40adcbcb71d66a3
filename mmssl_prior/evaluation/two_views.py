"""Two random views of each of some images, for alignment."""

import copy
from typing import Any

from mmengine.dataset import Compose

from ..datasets.samplers.epoch_index import index_generator
from ..datasets.transforms.seeded_transform import GENERATOR_KEY
from .task_scores import fixed_sample

__all__ = ['VIEW_IMAGES', 'two_views']

VIEW_IMAGES = 1000


class _ViewOf:
    """The generator of one view of an image, for the seeded transforms behind it."""

    def __init__(self, view: int) -> None:
        self.view = view

    def __call__(self, results: dict) -> dict:
        generator = index_generator(results['sample_idx'], self.view)
        return {**results, GENERATOR_KEY: generator}

    def __repr__(self) -> str:
        return f'_ViewOf(view={self.view})'


def two_views(
    dataset: Any, size: int, in_memory: bool = False, images: int = VIEW_IMAGES
) -> tuple[Any, Any]:
    """Two datasets of the same images under two draws of one augmentation.

    The augmentation is the large random view of MSN's pretraining, for every
    encoder and task: a crop of 0.3 to 1 of the area, resized to ``size``; a
    flip in half of the views; brightness, contrast and saturation by 0.4 and
    hue by 0.1 in 0.8 of them; grey in 0.2; Gaussian blur of radius 0.1 to 2 in
    half. A view is a function of the image's place and of its own number.

    Args:
        dataset: Of MMEngine; stays as it is.
        size: Height and width of the views.
        in_memory: Whether its images are arrays, and none is loaded.
        images: How many at most, always the same ones.
    """
    steps = [
        dict(type='SeededRandomResizedCrop', scale=size, crop_ratio_range=(0.3, 1.0)),
        dict(type='SeededFlip', prob=0.5),
        dict(
            type='SeededColorJitter',
            brightness=0.4,
            contrast=0.4,
            saturation=0.4,
            hue=0.1,
            prob=0.8,
        ),
        dict(type='SeededGrayscale', prob=0.2),
        dict(type='SeededGaussianBlur', radius_range=(0.1, 2.0), prob=0.5),
        dict(type='PackInputs'),
    ]
    some = dataset.get_subset(fixed_sample(len(dataset), images).tolist())
    views = []
    for view in range(2):
        seen = copy.copy(some)
        seen.pipeline = Compose(
            [*([] if in_memory else [dict(type='LoadImage')]), _ViewOf(view), *steps]
        )
        views.append(seen)
    return views[0], views[1]

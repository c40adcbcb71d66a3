"""A dataset read in its own order, nothing replaced, for what is written row by row."""

from typing import Any

from mmengine.dataset import default_collate
from torch.utils.data import Dataset

from ..datasets import UndecodableImage
from ..errors import UserError

__all__ = ['ImagesInOrder', 'collated']


class ImagesInOrder(Dataset):
    """A dataset that gives the reason in place of an image that cannot be decoded.

    Args:
        dataset: Of MMEngine, with a deterministic pipeline.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        info = self.dataset.get_data_info(index)
        try:
            return self.dataset.pipeline(info)
        except UndecodableImage as error:
            return error.reason


def collated(samples: list[dict]) -> Any:
    """A batch of samples of one view and one size."""
    shapes = {getattr(sample['inputs'], 'shape', None) for sample in samples}
    if len(shapes) > 1 or None in shapes:
        raise UserError(
            'the pipeline gives images of several sizes or several views: evaluation needs a '
            'single-view pipeline with a fixed crop'
        )
    return default_collate(samples)

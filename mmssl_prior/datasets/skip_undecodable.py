"""Datasets that survive an undecodable image."""

import numpy as np
from mmengine.dataset import BaseDataset

from ..errors import UserError, printable
from .labels import dataset_labels
from .samplers.class_index import ClassIndex
from .samplers.epoch_index import EpochIndex, index_generator
from .transforms.load_image import UndecodableImage

__all__ = ['SkipUndecodable']

NAMED = 3  # of the images that an error names
REPLACEMENT = 1  # a stream of its own, apart from those of the views


class SkipUndecodable(BaseDataset):
    """Mixin that takes another image where one cannot be decoded.

    Name it before the other base class, an MMEngine or MMPretrain
    ``BaseDataset``; the pipeline begins with :class:`LoadImage`. The
    replacement is a function of (seed, epoch, index as drawn, attempt), so
    that a run stays reproducible; for an image that a sampler drew for its
    class (:class:`ClassIndex`) it is of the same class, of the same part where several
    make a ``ConcatDataset``. The files left out
    are noted in the returned sample's ``data_samples`` as ``undecodable``, a
    tuple of (path, reason), for :class:`UndecodableImagesHook` to count. An
    evaluation (``test_mode=True``) must not swap images: there the first
    undecodable one is an error.

    Raises:
        UserError: In test mode, or if ten attempts in a row fail.
    """

    max_attempts = 10

    def __getitem__(self, idx):
        if idx < 0:
            idx = len(self) + idx
        failed, current = {}, idx
        for attempt in range(self.max_attempts):
            try:
                sample = super().__getitem__(current)
            except UndecodableImage as error:
                if self.test_mode:
                    raise UserError(
                        f'{error}; an evaluation skips no image: restore the '
                        'file or take it off the list'
                    ) from error
                failed[int(current)] = (error.path, error.reason)
                if len(failed) == len(self):
                    break
                current = self.replacement(idx, attempt, set(failed))
            else:
                return _noted(sample, tuple(failed.values()))
        named = list(failed.values())[:NAMED]
        files = ', '.join(f'{printable(path)} ({reason})' for path, reason in named)
        more = f' and {len(failed) - NAMED} more' if len(failed) > NAMED else ''
        raise UserError(
            f'{len(failed)} images drawn in a row cannot be decoded; restore '
            f'them or check data_root: {files}{more}'
        )

    def replacement(self, idx, attempt, failed):
        """Index of the image to try instead.

        Args:
            idx (int): The index that was asked for.
            attempt (int): Number of replacements so far.
            failed (set[int]): Indices known to fail; fewer than all.

        Returns:
            EpochIndex: Uniform over the others; of a :class:`ClassIndex`, over
            those of its class as long as there are any.
        """
        rng = index_generator(idx, attempt, REPLACEMENT)
        if isinstance(idx, ClassIndex):
            others = np.setdiff1d(self._same_class(idx), list(failed))
            if len(others):
                return idx.moved_to(others[rng.integers(len(others))])
        choice = int(rng.integers(len(self) - len(failed)))
        for taken in sorted(failed):
            choice += choice >= taken
        return EpochIndex.of(idx).moved_to(choice)

    def _same_class(self, idx):
        """Indices of all images of the class of one."""
        labels = getattr(self, '_labels', None)
        if labels is None or len(labels) != len(self):
            # Only where an image fails, and once in each worker.
            labels = self._labels = dataset_labels(self)
        return np.flatnonzero(labels == labels[idx])


def _noted(sample, failed):
    """The sample, with the files it stands in for."""
    if not failed:
        return sample
    if 'data_samples' in sample:
        sample['data_samples'].set_metainfo(dict(undecodable=failed))
        return sample
    return {**sample, 'undecodable': failed}

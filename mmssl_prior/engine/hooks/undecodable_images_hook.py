"""Counting the images that could not be decoded."""

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmpretrain.registry import HOOKS

from ...errors import UserError, printable

__all__ = ['UndecodableImagesHook']

NAMED = 10


@HOOKS.register_module()
class UndecodableImagesHook(Hook):
    """Warn of each undecodable image once; stop where there are too many.

    Datasets with :class:`SkipUndecodable` replace such an image and note the
    file in the sample. This hook counts different files. Each rank sees those
    of its own batches; the counts are put together every ``interval``
    iterations and at the end.

    Args:
        limit (int): Number of files to put up with; 0 means none. Defaults
            to 100.
        interval (int): Iterations between exchanges among ranks. Defaults
            to 100.

    Raises:
        ValueError: If an argument is out of range.
        UserError: In training, above the limit: the first ten files, how many
            there are, and what to do.
    """

    priority = 'VERY_HIGH'

    def __init__(self, limit=100, interval=100):
        if not (isinstance(limit, int) and limit >= 0):
            raise UserError(f'limit must be an integer >= 0, got {limit}')
        if not (isinstance(interval, int) and interval > 0):
            raise UserError(f'interval must be an integer > 0, got {interval}')
        self.limit = limit
        self.interval = interval
        self.files = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        """Take note of the files that this batch had to do without."""
        found = {}
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        for sample in samples or ():
            found.update(sample.get('undecodable', ()))
        self._add(runner, found)
        if self.every_n_train_iters(runner, self.interval):
            self._exchange(runner)
        self._check()

    def after_train(self, runner):
        """Name the number of files at the end."""
        self._exchange(runner)
        if self.files:
            runner.logger.warning(
                f'{len(self.files)} undecodable images were replaced by others during this training'
            )

    def _exchange(self, runner):
        for found in all_gather_object(self.files):
            self._add(runner, found)

    def _add(self, runner, found):
        for path, reason in found.items():
            if path not in self.files:
                self.files[path] = reason
                runner.logger.warning(
                    f'cannot decode image {printable(path)}: {reason}; '
                    'another one is taken in its place'
                )

    def _check(self):
        if len(self.files) <= self.limit:
            return
        named = ', '.join(printable(path) for path in list(self.files)[:NAMED])
        raise UserError(
            f'{len(self.files)} images cannot be decoded, the limit is {self.limit}; restore them, '
            'or raise the limit (default_hooks.undecodable_images.limit). '
            f'The first {min(NAMED, len(self.files))}: {named}'
        )

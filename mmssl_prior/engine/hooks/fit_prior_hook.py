from collections import Counter

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmpretrain.registry import HOOKS

from ...errors import UserError

__all__ = ['FitPriorHook']


@HOOKS.register_module()
class FitPriorHook(Hook):
    """Give an ``EmpiricalPrior`` without counts the class counts of the training labels.

    Does nothing where the head's prior is complete. Counts are those of the
    training set as built, wrappers included; classes without images are left
    out.

    Raises:
        UserError: If the training set has no labels.
    """

    def before_train(self, runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        head = getattr(model, 'head', None)
        if head is None or not getattr(head, 'needs_prior_counts', False):
            return
        counts = Counter(_labels(runner.train_dataloader.dataset))
        head.fit_prior(sorted(counts.values(), reverse=True))
        runner.logger.info(
            f'EmpiricalPrior: {sum(counts.values())} training labels of '
            f'{len(counts)} classes, {max(counts.values())} to '
            f'{min(counts.values())} images each'
        )


def _labels(dataset) -> list[int]:
    labels = [dataset.get_data_info(i).get('gt_label') for i in range(len(dataset))]
    if not labels or None in labels:
        raise UserError(
            'EmpiricalPrior without counts needs a labelled training set, '
            f'{type(dataset).__name__} has no gt_label: give counts=[...] or a file'
        )
    return [int(label) for label in labels]

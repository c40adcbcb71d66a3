from collections.abc import Iterator, Sequence

import torch
from mmengine import dist
from mmengine.evaluator import Evaluator
from mmengine.runner import BaseLoop
from mmpretrain.registry import LOOPS
from torch.utils.data import DataLoader

from ...errors import UserError
from ...evaluation import Features, extract_features, knn_classify

__all__ = ['KNNValLoop']


@LOOPS.register_module()
class KNNValLoop(BaseLoop):
    """k-NN accuracy of the evaluation features during pretraining.

    Classifies the samples of ``val_dataloader`` by those of a labelled bank,
    as :func:`mmssl_prior.evaluation.knn_classify` does. Both pass the model
    with ``mode='tensor'`` (for MSN the target network) in eval mode; the modes
    and buffers of the model are afterwards what they were. Under distributed
    training each rank extracts its share, repeated samples are dropped and
    each rank classifies a part of the queries, so that the metrics are those
    of one process.

    Metrics, fractions in [0, 1], go to the logger and to ``save_best``:
    ``knn_top1_k<k>`` for each k, and ``knn_top1``, that of the first k.

    Use it as ``val_cfg=dict(type='KNNValLoop', bank_dataloader=...)`` with
    ``val_evaluator=[]``, since MMEngine wants all three of ``val_dataloader``,
    ``val_cfg`` and ``val_evaluator``; the interval is
    ``train_cfg.val_interval``.

    Args:
        runner: The runner.
        dataloader: Labelled queries; the runner passes ``val_dataloader``.
        bank_dataloader: Labelled bank; config or dataloader.
        k: Numbers of neighbours; the first is the main one.
        temperature: tau of the votes.
        evaluator: Must be empty: the loop makes its own metrics.

    Raises:
        UserError: If the evaluator is not empty, k is empty or larger than
            the bank, or the data are not labelled.
    """

    def __init__(
        self,
        runner,
        dataloader: DataLoader | dict,
        bank_dataloader: DataLoader | dict,
        k: int | Sequence[int] = (10, 20),
        temperature: float = 0.07,
        evaluator=(),
    ) -> None:
        if evaluator:
            raise UserError('KNNValLoop makes its own metrics: set val_evaluator=[]')
        self.evaluator = Evaluator([])
        super().__init__(runner, dataloader)
        self.bank_dataloader = runner.build_dataloader(
            bank_dataloader,
            seed=runner.seed,
            diff_rank_seed=runner._randomness_cfg.get('diff_rank_seed', False),
        )
        self.k = [k] if isinstance(k, int) else list(k)
        self.temperature = temperature
        self._check()

    def _check(self) -> None:
        """Find at the start of training what would otherwise stop it at the first validation."""
        for name, loader in (
            ('val_dataloader', self.dataloader),
            ('val_cfg.bank_dataloader', self.bank_dataloader),
        ):
            if not len(loader.dataset):
                raise UserError(f'KNNValLoop: {name} is empty')
            if loader.dataset[0]['data_samples'].get('gt_label') is None:
                raise UserError(
                    f'KNNValLoop: {name} is not labelled; k-NN needs gt_label in its '
                    'samples: name a labelled split, or set val_dataloader, val_cfg '
                    'and val_evaluator to None'
                )
        size = len(self.bank_dataloader.dataset)
        if not self.k or not all(1 <= k <= size for k in self.k):
            raise UserError(
                f'KNNValLoop: k={self.k} must name numbers from 1 to {size}, the size '
                'of val_cfg.bank_dataloader'
            )
        if not self.temperature > 0:
            raise UserError(f'KNNValLoop: temperature must be positive, got {self.temperature}')

    def run(self) -> dict[str, float]:
        """Extract bank and queries, classify, and report the metrics to the hooks."""
        self.runner.call_hook('before_val')
        # Before the epoch: the timer counts the queries only.
        bank = self._extract(
            self.bank_dataloader, len(self.bank_dataloader.dataset), 'val_cfg.bank_dataloader'
        )
        self.runner.call_hook('before_val_epoch')
        queries = self._extract(
            self._query_batches(), len(self.dataloader.dataset), 'val_dataloader'
        )
        metrics = self._score(bank, queries)
        self.runner.call_hook('after_val_epoch', metrics=metrics)
        self.runner.call_hook('after_val')
        return metrics

    def _extract(self, batches, size: int, name: str) -> Features:
        return extract_features(self.runner.model, batches, size=size, name=name)

    def _query_batches(self) -> Iterator[dict]:
        for idx, batch in enumerate(self.dataloader):
            self.runner.call_hook('before_val_iter', batch_idx=idx, data_batch=batch)
            yield batch
            # No predictions per sample exist before all are extracted.
            self.runner.call_hook('after_val_iter', batch_idx=idx, data_batch=batch, outputs=[])

    def _score(self, bank: Features, queries: Features) -> dict[str, float]:
        rank, world = dist.get_dist_info()
        device = next(self.runner.model.parameters()).device
        query_labels = queries.require_labels('KNNValLoop: val_dataloader')
        labels = query_labels[rank::world].to(device)
        predictions = knn_classify(
            queries.features[rank::world].to(device),
            bank.features,
            bank.require_labels('KNNValLoop: val_cfg.bank_dataloader'),
            self.k,
            self.temperature,
        )
        right = torch.stack([(predictions[k] == labels).sum() for k in self.k])
        dist.all_reduce(right, 'sum')
        accuracy = dict(zip(self.k, (right.double() / len(query_labels)).tolist()))
        return {'knn_top1': accuracy[self.k[0]]} | {
            f'knn_top1_k{k}': value for k, value in accuracy.items()
        }

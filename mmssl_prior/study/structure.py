"""What the prototypes of a checkpoint made of the images that it was trained on."""

import math
import shutil
from pathlib import Path

from mmengine.device import get_device
from torch import Tensor

from ..evaluation.encoder_source import read_source
from ..evaluation.feature_store import FeatureStore
from ..evaluation.prototype_usage import prototype_usage
from ..insight.agreement import agreement
from ..insight.analyzed_data import AnalyzedData, encoder_steps
from ..insight.analyzed_model import LOG_PROBS, open_model
from ..insight.health_measures import measure_prototypes
from ..insight.image_source import dataset_of_split

__all__ = ['head_over_tail', 'prototype_metrics']


def head_over_tail(p_bar: Tensor) -> float:
    """Mean usage of the first eighth of the prototypes over that of the last eighth.

    Args:
        p_bar: Shape (K,), in the order of the prior.

    Example:
        >>> head_over_tail(torch.tensor([.5, .25, .125, .125]))
        4.0
    """
    few = max(1, len(p_bar) // 8)
    tail = p_bar[-few:].mean().item()
    return p_bar[:few].mean().item() / tail if tail else math.inf


def prototype_metrics(
    checkpoint: str | Path, scratch: str | Path, batch_size: int = 64, workers: int = 0
) -> dict[str, float]:
    """Measures of the prototypes on the training split, by the transforms of the tests.

    Args:
        checkpoint: With a config of its own.
        scratch: Folder for predictions; it is removed.
        batch_size: Images that pass together.
        workers: Processes that load images.

    Returns:
        ``train/prototypes_used``, ``.../effective_prototypes``,
        ``.../distinct_prototypes``, ``.../kl_to_prior`` (where the prior is
        known) and ``.../head_over_tail``; with labels ``.../nmi`` and
        ``.../purity`` of the most likely prototypes against the classes.
        Nothing for a model without prototypes, or where it was trained on a
        ``LongTailSubset``, whose images are not told from the others here.
    """
    source = read_source(str(checkpoint))
    model = open_model(source).to(get_device())
    if not model.has_prototypes:
        return {}
    assert source.cfg is not None
    if 'LongTailSubset' in str(source.cfg.train_dataloader.dataset):
        return {}
    data = AnalyzedData('training images', dataset_of_split(source.cfg, 'train'))
    try:
        store = FeatureStore.open_or_extract(
            scratch,
            model,
            data.with_steps(encoder_steps(source.cfg, model.encoder.size)),
            [LOG_PROBS],
            forward=lambda images: {LOG_PROBS: model(images)[LOG_PROBS]},
            identity=[source.digest],
            dtype='float32',
            batch_size=batch_size,
            num_workers=workers,
            name='training images',
        )
        rows = store.features(LOG_PROBS)
        log_probs, index = rows.features.clone(), rows.sample_idx.numpy()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    prior = model.log_prior(data.counts())
    uniform = log_probs.new_full((log_probs.shape[1],), -math.log(log_probs.shape[1]))
    log_prior = uniform if prior is None else prior
    usage = prototype_usage(log_probs, log_prior)
    by_prior = log_prior.argsort(descending=True, stable=True).to(usage.p_bar.device)
    apart = measure_prototypes(model.head.prototypes.detach().cpu(), model.head.temperature)
    metrics = dict(
        prototypes_used=float(usage.num_used),
        effective_prototypes=usage.effective_number,
        distinct_prototypes=float(apart.distinct),
        head_over_tail=head_over_tail(usage.p_bar[by_prior]),
    )
    if prior is not None:
        metrics['kl_to_prior'] = usage.kl_to_prior
    if data.labels is not None:
        found = agreement(log_probs.argmax(1).numpy(), data.labels[index])
        metrics.update(nmi=found.nmi, purity=found.purity)
    return {f'train/{name}': value for name, value in metrics.items()}

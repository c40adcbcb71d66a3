"""What a pretraining run on small labelled data achieved: a table, two pictures, a JSON file."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, find_latest_checkpoint, set_random_seed
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..config import checkpoint_weights, read_checkpoint
from ..errors import UserError
from .accuracy import class_mean_top1, top1
from .features import extract_features
from .knn import knn_classify
from .linear_probe import linear_probe
from .plots import plot_prototype_usage, plot_training_curves
from .prototype_usage import PrototypeUsage, prototype_usage
from .training_log import read_training_log

__all__ = ['demo_report']

RAW, UNTRAINED, PRETRAINED = 'raw pixels', 'untrained network', 'pretrained network'


class RawPixels(BaseModel):
    """Features that are the image itself, normalised as the network gets it."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return inputs.float().flatten(1)


class Score(NamedTuple):
    """Accuracies of one kind of features, fractions in [0, 1]."""

    knn_top1: float
    knn_class_mean_top1: float
    linear_top1: float
    linear_class_mean_top1: float
    linear_converged: bool


def demo_report(cfg: Config, work_dir: str | Path) -> dict[str, Any]:
    """Evaluate the last checkpoint of a run, print a table and write its pictures.

    k-NN (first k and temperature of ``val_cfg``) and linear probe learn from
    ``val_cfg.bank_dataloader`` and are scored on ``val_dataloader``, for three
    kinds of features: raw pixels (the network's normalised input, flattened),
    the evaluation features of the network before training
    (seed of the config) and of the checkpoint. Prototype usage is measured on the
    training split, with the test pipeline. Into ``work_dir`` go
    ``results.json``, ``curves.png`` and, for a model with prototypes,
    ``prototype_usage.png``.

    Args:
        cfg: Config of the run, with a ``KNNValLoop`` and single-view
            pipelines in both evaluation dataloaders.
        work_dir: Folder of the run.

    Returns:
        What ``results.json`` holds.

    Raises:
        UserError: If the run has no checkpoint or log, the checkpoint is of
            another model, or the config has no labelled evaluation splits.
    """
    from rich.console import Console

    work_dir = Path(work_dir)
    _check_config(cfg)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    checkpoint = _last_checkpoint(work_dir)
    curves = read_training_log(work_dir, by_epoch=True)
    console = Console()
    seed = cfg.get('randomness', {}).get('seed', 0)
    with console.status('evaluating'), _quiet():
        bank = Runner.build_dataloader(cfg.val_cfg.bank_dataloader, seed=seed)
        test = Runner.build_dataloader(cfg.val_dataloader, seed=seed)
        set_random_seed(seed)
        model = MODELS.build(cfg.model)
        model.init_weights()
        knn = dict(
            k=_first(cfg.val_cfg.get('k', 10)), temperature=cfg.val_cfg.get('temperature', 0.07)
        )
        scores = {
            RAW: _score(RawPixels(model.data_preprocessor), bank, test, **knn),
            UNTRAINED: _score(model, bank, test, **knn),
        }
        _load(model, checkpoint)
        scores[PRETRAINED] = _score(model, bank, test, **knn)
        train = Runner.build_dataloader(_train_split(cfg), seed=seed)
        usage, log_prior = _usage(model, train)

    results: dict[str, Any] = dict(
        checkpoint=str(checkpoint),
        seed=seed,
        **knn,
        bank_size=len(bank.dataset),
        test_size=len(test.dataset),
        scores={name: score._asdict() for name, score in scores.items()},
    )
    pictures = [work_dir / 'curves.png']
    baselines = {name: scores[name].knn_top1 for name in (RAW, UNTRAINED)}
    plot_training_curves(pictures[0], curves, log_prior, baselines)
    if usage is not None and log_prior is not None:
        pictures.append(work_dir / 'prototype_usage.png')
        plot_prototype_usage(pictures[1], usage, log_prior)
        prior, order = log_prior.exp().sort(descending=True, stable=True)
        results['prototype_usage'] = dict(
            num_prototypes=len(log_prior),
            num_used=usage.num_used,
            effective_number=usage.effective_number,
            kl_to_prior=usage.kl_to_prior,
            head_to_tail=_head_to_tail(usage.p_bar.cpu()[order]),
            prior_head_to_tail=_head_to_tail(prior),
        )
    path = work_dir / 'results.json'
    path.write_text(json.dumps(results, indent=2) + '\n')
    _print(console, results, [path, *pictures])
    return results


@contextmanager
def _quiet() -> Iterator[None]:
    """Warnings only: initialising a model logs three lines for each weight."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('WARNING')
    try:
        yield
    finally:
        logger.setLevel(level)


def _head_to_tail(p: Tensor) -> float:
    """Mass of the first eighth, by rank in the prior, relative to that of the last."""
    eighth = max(len(p) // 8, 1)
    return float(p[:eighth].sum() / p[-eighth:].sum())


def _check_config(cfg: Config) -> None:
    for name in ('model', 'train_dataloader', 'val_dataloader', 'val_cfg'):
        if not cfg.get(name):
            raise UserError(f'{cfg.filename}: the report needs {name}')
    if 'bank_dataloader' not in cfg.val_cfg:
        raise UserError(
            f"{cfg.filename}: the report needs val_cfg=dict(type='KNNValLoop', bank_dataloader=...)"
        )


def _last_checkpoint(work_dir: Path) -> Path:
    if not (work_dir / 'last_checkpoint').is_file():
        raise UserError(
            f'{work_dir} holds no checkpoint (no file last_checkpoint): pretrain with '
            f'python tools/train.py CONFIG --work-dir {work_dir}'
        )
    named = Path(find_latest_checkpoint(str(work_dir)))
    # The file holds an absolute path, of another folder if this one was copied or moved.
    for path in (work_dir / named.name, named):
        if path.is_file():
            return path
    raise UserError(f'{work_dir / "last_checkpoint"} names {named.name}, which is not there')


def _load(model: nn.Module, path: Path) -> None:
    before = model.state_dict()
    state = checkpoint_weights(read_checkpoint(str(path)))
    wrong = [key for key in before if key not in state or state[key].shape != before[key].shape]
    if wrong:
        raise UserError(
            f'{path} is of another model than the config: {len(wrong)} of '
            f'{len(before)} weights are missing or differ in shape, such as {wrong[0]}'
        )
    model.load_state_dict(state, strict=False)


def _score(
    model: nn.Module, bank: DataLoader, test: DataLoader, k: int, temperature: float
) -> Score:
    train = extract_features(model, bank, name='val_cfg.bank_dataloader')
    query = extract_features(model, test, name='val_dataloader')
    train_y = train.require_labels('val_cfg.bank_dataloader')
    query_y = query.require_labels('val_dataloader')
    if not 1 <= k <= len(train_y):
        raise UserError(f'val_cfg.k={k}: the bank holds {len(train_y)} samples')
    predictions = knn_classify(query.features, train.features, train_y, k, temperature)[k]
    probe = linear_probe(train.features, train_y, query.features, query_y)
    return Score(
        top1(predictions, query_y),
        class_mean_top1(predictions, query_y),
        probe.top1,
        probe.class_mean_top1,
        probe.converged,
    )


def _train_split(cfg: Config) -> dict:
    """The dataloader of the test split, with the training images in the place of its own."""
    loader = cfg.val_dataloader.to_dict()
    dataset = cfg.train_dataloader.dataset.to_dict()
    _innermost(dataset)['pipeline'] = _innermost(loader['dataset'])['pipeline']
    return loader | dict(dataset=dataset)


def _innermost(dataset: dict) -> dict:
    """The dataset under its wrappers, such as one that skips undecodable images."""
    while 'pipeline' not in dataset and isinstance(dataset.get('dataset'), dict):
        dataset = dataset['dataset']
    return dataset


def _usage(model: Any, train: DataLoader) -> tuple[PrototypeUsage | None, Tensor | None]:
    if not hasattr(model, 'assign'):
        return None, None
    assigned = extract_features(
        model, train, lambda inputs, _: model.assign(inputs), name='train_dataloader'
    )
    if model.head.needs_prior_counts:
        counts = assigned.require_labels('train_dataloader').bincount()
        model.head.fit_prior(counts[counts > 0].numpy())
    log_prior = model.head.matched_log_prior.detach().cpu()
    return prototype_usage(assigned.features, log_prior), log_prior


def _first(k) -> int:
    return k if isinstance(k, int) else k[0]


def _print(console, results: dict[str, Any], files: list[Path]) -> None:
    from rich.table import Table

    table = Table(title=f'top-1 on {results["test_size"]} test images', title_justify='left')
    table.add_column('features')
    table.add_column(f'k-NN (k={results["k"]})', justify='right')
    table.add_column('linear probe', justify='right')
    for name, score in results['scores'].items():
        probe = f'{score["linear_top1"]:.3f}' + ('' if score['linear_converged'] else ' *')
        table.add_row(
            name, f'{score["knn_top1"]:.3f}', probe, style='bold' if name == PRETRAINED else None
        )
    console.print(table)
    if not all(score['linear_converged'] for score in results['scores'].values()):
        console.print('* the solver had not converged at its iteration limit')
    if 'prototype_usage' in results:
        usage = results['prototype_usage']
        console.print(
            'prototypes on the training images: {num_used} of {num_prototypes} used, '
            'effective number {effective_number:.1f}, KL to the prior {kl_to_prior:.3f}'.format(
                **usage
            ),
            soft_wrap=True,
        )
    for file in files:
        # Not wrapped: a path is to be copied.
        console.print(str(file), soft_wrap=True, highlight=False)

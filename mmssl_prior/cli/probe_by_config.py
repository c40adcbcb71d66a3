"""The linear probe of ``tools/evaluate.py`` where a protocol has a config for it."""

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from mmengine import dist
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from mmssl_prior.cli.distributed import prepare_distributed
from mmssl_prior.cli.options import build_runner
from mmssl_prior.config import check_arguments, check_checkpoints, check_classes, load_config
from mmssl_prior.errors import UserError
from mmssl_prior.evaluation import HeadScores, ProbeAccuracy, evaluation_mode
from mmssl_prior.evaluation.encoder import Encoder
from mmssl_prior.evaluation.encoder_source import EncoderSource
from mmssl_prior.evaluation.linear_entry import linear_entry
from mmssl_prior.evaluation.one_task import ConfigProbe, Evaluation, ProbeTask
from mmssl_prior.evaluation.tasks import Task
from mmssl_prior.models import trunk_features

__all__ = ['config_of', 'fitted_config', 'probe_by_config']

FOLDER = 'mmssl_prior::benchmarks/linear'
RECIPE_RANKS = 8  # that the learning rates of the recipes are for
RECIPE_SIZE = 224
PREFIX = 'probe/'  # of ProbeAccuracy's metrics


def config_of(protocol: str, task: Task, is_vit: bool) -> str | None:
    """Name of the config that trains the probe, or None where the protocol has none.

    Example:
        >>> from mmssl_prior.evaluation.tasks import TASKS
        >>> config_of('vissl', TASKS['clevr-dist'], is_vit=True)
        'mmssl_prior::benchmarks/linear/vissl_vit-b16_clevr-dist.py'
    """
    if protocol == 'vissl' and task.benchmark:
        family = 'vit-b16' if is_vit else 'r50'
        return f'{FOLDER}/vissl_{family}_{task.benchmark}.py'
    if protocol == 'msn' and task.name == 'imagenet' and is_vit:
        return f'{FOLDER}/msn-linear_vit-s16_in1k.py'
    return None


def fitted_config(
    cfg: Config,
    source: EncoderSource,
    encoder: Encoder,
    root: str,
    world_size: int = 1,
    features: Sequence[str] = (),
    lr_multipliers: Sequence[float] = (1.0,),
) -> Config:
    """The config with the encoder, its width, image size and data in place of its own.

    The learning rate is scaled with the number of ranks, the batch of each
    stays, as VISSL does it. Of a transformer without class token the mean of
    the tokens is read. Heads on features that the encoder lacks are left out.
    Heads on the features named are added, as extra ones.

    Args:
        cfg: A config of ``configs/benchmarks/linear``.
        source: Of the encoder.
        encoder: Built from it.
        root: Folder of the data.
        world_size: Number of ranks.
        features: Names of :func:`mmssl_prior.models.trunk_features`.
        lr_multipliers: A copy of each head for each.

    Raises:
        UserError: If no head is left, or the encoder lacks one of the features.
    """
    cfg = copy.deepcopy(cfg)
    cfg.model.backbone = _backbone(source, encoder)
    cfg.model.data_preprocessor = _preprocessor(encoder)
    width = _widths(source, encoder)
    cfg.model.heads = _with_features(_heads(cfg.model.heads, width, encoder), width, features)
    cfg.model.lr_multipliers = list(lr_multipliers)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = cfg[name].dataset
        dataset.data_root = root
        dataset.pipeline = _resized(dataset.pipeline, encoder.size)
    optimizer = cfg.optim_wrapper.optimizer
    optimizer.lr = optimizer.lr * world_size / RECIPE_RANKS
    return cfg


def probe_by_config(
    settings: Evaluation, launcher: str, said: Callable[[str], None] = print
) -> ConfigProbe:
    """What :func:`~mmssl_prior.evaluation.downstream.evaluate` takes as ``config_probe``.

    Args:
        settings: Of the evaluation; a protocol that has no configs has no
            such probe.
        launcher: Of the ranks.
        said: Is told what is run.
    """

    def probe(asked: ProbeTask) -> dict[str, Any] | None:
        source, encoder, task = asked.source, asked.encoder, asked.task
        name = config_of(settings.protocol, task, encoder.is_vit)
        if name is None:
            said(f'{task.title}: the protocol {settings.protocol} has no linear probe for it')
            return None
        cfg = fitted_config(
            load_config(name),
            source,
            encoder,
            asked.root,
            dist.get_world_size(),
            settings.probe_features,
            settings.lr_multipliers,
        )
        work_dir = asked.work_dir
        cfg.work_dir, cfg.launcher = str(work_dir), launcher
        cfg.experiment_name = f'{source.name}-{task.name}'.replace('/', '-')
        cfg.resume = (work_dir / 'last_checkpoint').is_file()
        cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=1)
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            loader.num_workers = settings.workers
            loader.persistent_workers = settings.workers > 0
        said(f'{task.title}: {name}, log in {work_dir}')
        return _train(cfg, asked, settings.scores.groups)

    return probe


class _SameWeights(Hook):
    """Gives the probe the weights of a random encoder, which no file holds."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def before_train(self, runner: Runner) -> None:
        """After the initialisation, which draws others."""
        model: Any = runner.model.module if is_model_wrapper(runner.model) else runner.model
        # What pools in timm's own model is no part of the wrapped one.
        model.backbone.load_state_dict(self.encoder.backbone.state_dict(), strict=False)


def _train(cfg: Config, asked: ProbeTask, groups: tuple[int, int]) -> dict[str, Any]:
    check_arguments(cfg)
    prepare_distributed(cfg)
    runner = build_runner(cfg)
    check_checkpoints(runner.model, cfg)
    check_classes(runner)
    if not asked.source.path:
        runner.register_hook(_SameWeights(asked.encoder))
    for metric in runner.val_loop.evaluator.metrics:
        if isinstance(metric, ProbeAccuracy):
            metric.train_counts, metric.groups = asked.counts.tolist(), groups
    runner.train()
    metrics = runner.val()
    model: Any = runner.model.module if is_model_wrapper(runner.model) else runner.model
    heads: dict[str, dict] = {name: {} for name in model.heads.names}
    for key, value in metrics.items():
        head, _, metric = key.removeprefix(PREFIX).rpartition('/')
        if head:
            heads[head][metric] = float(value)
    scores = {name: HeadScores(**dict(top5=None) | known) for name, known in heads.items()}
    # Those of the recipe at its own rate; the best of them on the test images is what VISSL
    # reports.
    recipe = [
        name
        for name in scores
        if name not in model.heads.extra and model.heads.factors[name] == 1.0
    ]
    return linear_entry(scores, recipe)


def _backbone(source: EncoderSource, encoder: Encoder) -> dict[str, Any]:
    if source.timm:
        where = dict(checkpoint_path=source.path) if source.path else {}
        return dict(type='TIMMBackbone', model_name=source.timm, **where)
    assert source.cfg is not None
    backbone = dict(source.cfg.to_dict()['model']['backbone'])
    for key in ('pretrained', 'checkpoint_path'):
        backbone.pop(key, None)
    if encoder.masks_patches:
        if backbone['type'] != 'MAEViT':
            raise UserError(
                f'{backbone["type"]} hides patches when it is called: use --protocol fast'
            )
        # The same network with the same names, which sees the whole image.
        backbone.pop('mask_ratio', None)
        backbone.update(type='VisionTransformer', out_type='cls_token')
    prefix = f'{encoder.parts[0]}.'
    return backbone | dict(init_cfg=dict(type='Pretrained', checkpoint=source.path, prefix=prefix))


def _preprocessor(encoder: Encoder) -> dict[str, Any]:
    """The encoder's normalisation, in the class that the probe takes."""
    own: Any = encoder.data_preprocessor
    if not getattr(own, '_enable_normalize', False):
        normalise = {}
    else:
        normalise = {key: getattr(own, key).flatten().tolist() for key in ('mean', 'std')}
    flips = bool(getattr(own, '_channel_conversion', False) or getattr(own, 'to_rgb', False))
    return dict(type='SelfSupDataPreprocessor', to_rgb=flips, **normalise)


def _widths(source: EncoderSource, encoder: Encoder) -> Callable[[str], int]:
    """Width of a feature of the backbone that the probe is trained on, by its name."""
    backbone = encoder.backbone
    image = next(encoder.parameters()).new_zeros(1, 3, encoder.size, encoder.size)
    if source.timm:
        # The encoder's own pools, which not everything that is wrapped does.
        with torch.random.fork_rng(devices=[]):
            wrapped = MODELS.build(dict(type='TIMMBackbone', model_name=source.timm))
        backbone = wrapped.to(image.device)

    def width(feature: str) -> int:
        with evaluation_mode(backbone), torch.no_grad():
            return trunk_features(backbone, image, [feature])[feature].shape[1]

    return width


def _heads(heads: Sequence[Mapping], width: Callable[[str], int], encoder: Encoder) -> list[dict]:
    """The heads whose features there are; of a transformer without class token the mean."""
    fitted = []
    for head in heads:
        name = head['feature']
        for feature in (name, name.replace('cls', 'pool')):
            with suppress(UserError):
                changed = dict(head, feature=feature, in_channels=width(feature))
                if 'norm_channels' in head:
                    changed['norm_channels'] = width('avg')
                fitted.append(changed)
                break
    if all(head.get('extra') for head in fitted):
        named = ', '.join(head['feature'] for head in heads if not head.get('extra'))
        raise UserError(
            f'{type(encoder.backbone).__name__} at {encoder.size} px has none of the features '
            f"that the recipe's heads read ({named}): give larger images (--image-size), or use "
            '--protocol fast'
        )
    return fitted


def _with_features(
    heads: list[dict], width: Callable[[str], int], features: Sequence[str]
) -> list[dict]:
    """The heads, and extra ones with and without batch norm, but for those that there are."""
    known = {(head['feature'], head.get('norm')) for head in heads}
    added = [
        dict(feature=feature, in_channels=width(feature), norm=norm, extra=True)
        for feature in features
        for norm in ('bn', None)
        if (feature, norm) not in known
    ]
    return [*heads, *added]


def _resized(steps: Any, size: int) -> Any:
    """Transforms with sizes for images of ``size`` pixels instead of 224."""
    if isinstance(steps, Mapping):
        sized = ('scale', 'crop_size')
        return {
            key: _scaled(value, size) if key in sized else _resized(value, size)
            for key, value in steps.items()
        }
    if isinstance(steps, (list, tuple)):
        return [_resized(step, size) for step in steps]
    return steps


def _scaled(value: Any, size: int) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_scaled(item, size) for item in value)
    return round(value * size / RECIPE_SIZE)

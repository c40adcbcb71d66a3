"""The linear probe of ``tools/evaluate.py`` where a protocol has a config for it."""

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine import dist
from mmengine.config import Config

from mmssl_prior.cli.distributed import prepare_distributed
from mmssl_prior.cli.options import build_runner
from mmssl_prior.config import check_arguments, check_checkpoints, load_config
from mmssl_prior.errors import UserError
from mmssl_prior.evaluation import evaluation_mode
from mmssl_prior.evaluation.encoder import Encoder
from mmssl_prior.evaluation.encoder_source import EncoderSource
from mmssl_prior.evaluation.one_task import ConfigProbe
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
    cfg: Config, source: EncoderSource, encoder: Encoder, root: str, world_size: int = 1
) -> Config:
    """The config with the encoder, its width, image size and data in place of its own.

    The learning rate is scaled with the number of ranks, the batch of each
    stays, as VISSL does it. Of a transformer without class token the mean of
    the tokens is read. Heads on features that the encoder lacks are left out.

    Args:
        cfg: A config of ``configs/benchmarks/linear``.
        source: Of the encoder.
        encoder: Built from it.
        root: Folder of the data.
        world_size: Number of ranks.

    Raises:
        UserError: If no head is left.
    """
    cfg = copy.deepcopy(cfg)
    cfg.model.backbone = _backbone(source, encoder)
    cfg.model.data_preprocessor = _preprocessor(encoder)
    cfg.model.heads = _heads(cfg.model.heads, encoder)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = cfg[name].dataset
        dataset.data_root = root
        dataset.pipeline = _resized(dataset.pipeline, encoder.size)
    optimizer = cfg.optim_wrapper.optimizer
    optimizer.lr = optimizer.lr * world_size / RECIPE_RANKS
    return cfg


def probe_by_config(
    protocol: str, launcher: str, said: Callable[[str], None] = print, workers: int | None = None
) -> ConfigProbe:
    """What :func:`~mmssl_prior.evaluation.downstream.evaluate` takes as ``config_probe``.

    Args:
        protocol: 'vissl' or 'msn'; another has no configs.
        launcher: Of the ranks.
        said: Is told what is run.
        workers: Of each dataloader; by default the config's.
    """

    def probe(
        source: EncoderSource, encoder: Encoder, task: Task, root: str, work_dir: Path
    ) -> dict[str, Any] | None:
        name = config_of(protocol, task, encoder.is_vit)
        if name is None:
            said(f'{task.title}: the protocol {protocol} has no linear probe for it')
            return None
        cfg = fitted_config(load_config(name), source, encoder, root, dist.get_world_size())
        cfg.work_dir, cfg.launcher = str(work_dir), launcher
        cfg.experiment_name = f'{source.name}-{task.name}'.replace('/', '-')
        cfg.resume = (work_dir / 'last_checkpoint').is_file()
        cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=1)
        if workers is not None:
            for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
                loader.num_workers = workers
                loader.persistent_workers = workers > 0
        said(f'{task.title}: {name}, log in {work_dir}')
        return _train(cfg)

    return probe


def _train(cfg: Config) -> dict[str, Any]:
    check_arguments(cfg)
    prepare_distributed(cfg)
    runner = build_runner(cfg)
    check_checkpoints(runner.model, cfg)
    runner.train()
    metrics = runner.val()
    heads: dict[str, dict] = {}
    best: dict[str, float] = {}
    for key, value in metrics.items():
        head, _, metric = key.removeprefix(PREFIX).rpartition('/')
        (heads.setdefault(head, {}) if head else best)[metric] = float(value)
    # The best head of the test images, which is what VISSL reports.
    return best | dict(heads=heads)


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


def _heads(heads: Sequence[Mapping], encoder: Encoder) -> list[dict]:
    fitted = []
    for head in heads:
        name = head['feature']
        for feature in (name, name.replace('cls', 'pool')):
            width = _width(encoder, feature)
            if width is not None:
                changed = dict(head, feature=feature, in_channels=width)
                if 'norm_channels' in head:
                    changed['norm_channels'] = _width(encoder, 'avg')
                fitted.append(changed)
                break
    if not fitted:
        raise UserError(
            f'{type(encoder.backbone).__name__} has none of the features that the heads of the '
            'linear probe read; use --protocol fast'
        )
    return fitted


@torch.no_grad()
def _width(encoder: Encoder, feature: str) -> int | None:
    """Width of a feature, or None if the backbone has no such one."""
    image = next(encoder.parameters()).new_zeros(1, 3, encoder.size, encoder.size)
    try:
        with evaluation_mode(encoder):
            return trunk_features(encoder.backbone, image, [feature])[feature].shape[1]
    except UserError:
        return None


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

"""Small checkpoints as the Runner saves them, untrained, for tests that evaluate."""

import torch
from mmengine import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

import mmssl_prior  # noqa: F401

TINY_VIT = dict(
    arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=32),
    img_size=32,
    patch_size=8,
)
PREPROCESSOR = dict(mean=[120.0, 110.0, 100.0], std=[60.0, 58.0, 56.0], to_rgb=True)
MSN = dict(
    type='MSN',
    data_preprocessor=dict(type='SelfSupDataPreprocessor', **PREPROCESSOR),
    backbone=dict(type='MSNViT', **TINY_VIT),
    neck=dict(type='MSNNeck', in_channels=24, hid_channels=16, out_channels=8),
    head=dict(type='PMSNHead', num_prototypes=5, embed_dim=8, prior=dict(type='PowerLawPrior')),
)
CLASSIFIER = dict(
    type='ImageClassifier',
    backbone=dict(type='VisionTransformer', **TINY_VIT),
    head=dict(type='VisionTransformerClsHead', num_classes=3, in_channels=24),
)
RESNET = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=64),
)
MAE = dict(
    type='MAE',
    data_preprocessor=dict(type='SelfSupDataPreprocessor', **PREPROCESSOR),
    backbone=dict(type='MAEViT', **TINY_VIT),
    neck=dict(
        type='MAEPretrainDecoder',
        num_patches=16,
        patch_size=8,
        embed_dim=24,
        decoder_embed_dim=16,
        decoder_depth=1,
        decoder_num_heads=2,
    ),
    head=dict(
        type='MAEPretrainHead',
        patch_size=8,
        loss=dict(type='PixelReconstructionLoss', criterion='L2'),
    ),
)


def save_checkpoint(path, model_cfg=None, seed=0, epoch=3, **others):
    """Write a checkpoint with its config in it.

    Args:
        path (Path): The file, whose folder is made.
        model_cfg (dict): Config of the model, `MSN` by default.
        seed (int): Of the weights.
        epoch (int): That the checkpoint says it is of.
        **others: More keys of the config.

    Returns:
        nn.Module: The model, in eval mode.
    """
    init_default_scope('mmpretrain')
    cfg = Config(dict(model=model_cfg or MSN, **others))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = cfg.to_dict()['model']
        # As the Runner does.
        built.setdefault('data_preprocessor', others.get('data_preprocessor'))
        model = MODELS.build(built)
        model.init_weights()
        # A target network that is not the trained one.
        for parameter in getattr(model, 'target_backbone', torch.nn.Module()).parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = dict(cfg=cfg.pretty_text, seed=seed, epoch=epoch, iter=9)
    meta['experiment_name'] = 'tiny_20260101_010203'
    torch.save(dict(meta=meta, state_dict=model.state_dict()), path)
    return model.eval()

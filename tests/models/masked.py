"""Small masked models and batches for tests."""

import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

ARCH = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=48)
VIT = dict(arch=ARCH, img_size=32, patch_size=8)
DATA2VEC = dict(
    type='Data2Vec',
    top_k=2,
    backbone=dict(
        VIT,
        type='Data2VecViT',
        layer_scale_init_value=0.5,
        drop_path_rate=0.0,
        attn_drop_rate=0.0,
    ),
    head=dict(type='Data2VecHead', embed_dims=32),
)
MAE = dict(
    type='SeededMAE',
    backbone=dict(VIT, type='SeededMAEViT'),
    neck=dict(
        type='MAEPretrainDecoder',
        num_patches=16,
        patch_size=8,
        embed_dim=32,
        decoder_embed_dim=16,
        decoder_depth=1,
        decoder_num_heads=2,
    ),
    head=dict(
        type='MAEPretrainHead',
        norm_pix=True,
        patch_size=8,
        loss=dict(type='MaskedRegressionLoss', criterion='mse'),
    ),
)


def build(cfg, **kwargs):
    """The model, initialised; data2vec's networks moved from there and from one another."""
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg, **kwargs))
    model.init_weights()
    if cfg['type'] == 'Data2Vec':
        model.set_step(0, 0)
        with torch.no_grad():
            for param in (*model.backbone.parameters(), *model.target_backbone.parameters()):
                param += 0.1 * torch.randn_like(param)
    model.train()
    return model


def images(batch=4, seed=1):
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def samples(batch=4, hidden=10, seed=2):
    """Samples with masks of 4 x 4 patches."""
    order = torch.rand(batch, 16, generator=torch.Generator().manual_seed(seed)).argsort(1)
    return [DataSample().set_mask((row < hidden).view(4, 4)) for row in order]


def masks(data_samples):
    return torch.stack([sample.mask.flatten() for sample in data_samples])

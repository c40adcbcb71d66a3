# MAE with ViT-B/16 as released; the decoder has width 512 and depth 8.
model = dict(
    type='SeededMAE',
    data_preprocessor=dict(
        type='SelfSupDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    # How many patches are hidden stands in the pipeline (SeededRandomMask).
    backbone=dict(type='SeededMAEViT', arch='deit-base', img_size=224, patch_size=16),
    neck=dict(
        type='MAEPretrainDecoder',
        num_patches=14**2,
        patch_size=16,
        embed_dim=768,
        decoder_embed_dim=512,
        decoder_depth=8,
        decoder_num_heads=16,
    ),
    head=dict(
        type='MAEPretrainHead',
        norm_pix=True,
        patch_size=16,
        loss=dict(type='MaskedRegressionLoss', criterion='mse'),
    ),
    init_cfg=[
        dict(type='Xavier', layer='Linear', distribution='uniform'),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
    ],
)

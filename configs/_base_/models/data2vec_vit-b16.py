# data2vec with the BEiT-style ViT-B/16 of the release.
model = dict(
    type='Data2Vec',
    # Targets: the mean of the last 6 of 12 blocks.
    top_k=6,
    data_preprocessor=dict(
        type='SelfSupDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(
        type='Data2VecViT',
        arch='base',
        img_size=224,
        patch_size=16,
        drop_path_rate=0.25,
        attn_drop_rate=0.05,
        layer_scale_init_value=1e-4,
    ),
    head=dict(
        type='Data2VecHead',
        embed_dims=768,
        loss=dict(type='MaskedRegressionLoss', criterion='smooth_l1', beta=2.0),
    ),
)

# The release holds the momentum of the target network at one value.
custom_hooks = [dict(type='TargetNetworkHook', momentum=0.9998, end_momentum=0.9998)]

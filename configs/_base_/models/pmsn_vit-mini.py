# PMSN with a ViT for images of 32 px: width 96, depth 3, convolutional stem, pooled tokens.
model = dict(
    type='MSN',
    patch_drop=0.15,
    patch_drop_mode='batch',
    data_preprocessor=dict(
        type='SelfSupDataPreprocessor',
        mean=[114.75, 114.75, 114.75],
        std=[56.1, 56.1, 56.1],
        to_rgb=True,
    ),
    backbone=dict(
        type='MSNViT',
        arch=dict(embed_dims=96, num_layers=3, num_heads=3, feedforward_channels=192),
        img_size=32,
        patch_size=4,
        stem='conv',
        with_cls_token=False,
        out_type='avg_featmap',
    ),
    neck=dict(type='MSNNeck', in_channels=96, hid_channels=512, out_channels=128),
    head=dict(
        type='PMSNHead',
        num_prototypes=64,
        embed_dim=128,
        temperature=0.1,
        sharpening=0.25,
        prior=dict(type='PowerLawPrior', exponent=0.25),
        sinkhorn=dict(type='Sinkhorn', marginal='prior', iterations=3),
        prior_loss=dict(type='PriorMatchingLoss', loss_weight=1.0),
    ),
)

custom_hooks = [
    dict(type='TargetNetworkHook', momentum=0.97, end_momentum=1.0, schedule='linear', stretch=1.0)
]

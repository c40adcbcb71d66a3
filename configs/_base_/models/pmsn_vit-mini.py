# PMSN with a ViT for images of 32 px: width 96, depth 3, convolutional stem, pooled tokens.
_base_ = ['./pmsn_vit-b16.py']

model = dict(
    data_preprocessor=dict(mean=[114.75, 114.75, 114.75], std=[56.1, 56.1, 56.1]),
    backbone=dict(
        _delete_=True,
        type='MSNViT',
        arch=dict(embed_dims=96, num_layers=3, num_heads=3, feedforward_channels=192),
        img_size=32,
        patch_size=4,
        stem='conv',
        with_cls_token=False,
        out_type='avg_featmap',
    ),
    neck=dict(in_channels=96, hid_channels=512, out_channels=128),
    head=dict(num_prototypes=64, embed_dim=128),
)

custom_hooks = [
    dict(type='TargetNetworkHook', momentum=0.97, end_momentum=1.0, schedule='linear', stretch=1.0),
]

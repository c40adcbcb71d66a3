# VICReg with the small ViT of pmsn_vit-mini.py.
_base_ = ['./vicreg_r50.py']

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
        out_type='featmap',  # the neck takes the mean
    ),
    neck=dict(in_channels=96, hid_channels=512, out_channels=512),
)

# MAE with a ViT for images of 32 px: width 96, depth 3, 8 x 8 patches of 4 px.
_base_ = ['./mae_vit-b16.py']

model = dict(
    data_preprocessor=dict(mean=[114.75, 114.75, 114.75], std=[56.1, 56.1, 56.1]),
    backbone=dict(
        _delete_=True,
        type='SeededMAEViT',
        arch=dict(embed_dims=96, num_layers=3, num_heads=3, feedforward_channels=192),
        img_size=32,
        patch_size=4,
        # The class token learns too little in minutes; 'cls_token' is what MAE's release reads.
        out_type='featmap',
    ),
    neck=dict(
        num_patches=8**2,
        patch_size=4,
        embed_dim=96,
        decoder_embed_dim=64,
        decoder_depth=1,
        decoder_num_heads=4,
    ),
    head=dict(patch_size=4),
)

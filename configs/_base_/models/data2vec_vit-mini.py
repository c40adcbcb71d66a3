# data2vec with a ViT for images of 32 px: width 96, depth 3, 8 x 8 patches of 4 px.
_base_ = ['./data2vec_vit-b16.py']

model = dict(
    top_k=2,
    # Layer normalisation leaves light and colour in these images' targets (see the README).
    target_norm='instance',
    data_preprocessor=dict(mean=[114.75, 114.75, 114.75], std=[56.1, 56.1, 56.1]),
    backbone=dict(
        _delete_=True,
        type='Data2VecViT',
        arch=dict(embed_dims=96, num_layers=3, num_heads=3, feedforward_channels=192),
        img_size=32,
        patch_size=4,
        drop_path_rate=0.0,
        attn_drop_rate=0.0,
        # The released 1e-4 grows too slowly for a thousand iterations.
        layer_scale_init_value=1.0,
        # The released one is made for width 768: here the blocks would begin as the identity.
        init_cfg=[
            dict(type='Xavier', layer='Linear', distribution='uniform'),
            dict(type='Kaiming', layer='Conv2d', mode='fan_in', nonlinearity='linear'),
        ],
    ),
    head=dict(embed_dims=96),
)

custom_hooks = [dict(type='TargetNetworkHook', momentum=0.99, end_momentum=0.9999, stretch=1.0)]

# VISSL's four heads on a frozen ViT-B/16: class token of the last block, and of the last four, the
# final norm applied to each block; with and without batch norm, which is decayed.
checkpoint = '{{$CHECKPOINT:work_dirs/pmsn_vit-b16_inat18/epoch_300.pth}}'
model = dict(
    type='LinearProbe',
    data_preprocessor=dict(
        type='SelfSupDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(
        type='VisionTransformer',
        arch='deit-base',
        img_size=224,
        patch_size=16,
        out_type='cls_token',
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='target_backbone.'),
    ),
    heads=[
        dict(feature='cls4', in_channels=3072, norm='bn'),
        dict(feature='cls', in_channels=768, norm='bn'),
        dict(feature='cls4', in_channels=3072),
        dict(feature='cls', in_channels=768),
    ],
)

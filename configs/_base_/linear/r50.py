# A frozen ResNet-50, its last map averaged over positions: VISSL's head with batch norm, and one
# without, which is ours: it is scored, but never the best.
checkpoint = '{{$CHECKPOINT:work_dirs/pmsn_r50_in1k/epoch_300.pth}}'
model = dict(
    type='LinearProbe',
    data_preprocessor=dict(
        type='SelfSupDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(
        type='ResNet',
        depth=50,
        norm_cfg=dict(type='BN'),
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='target_backbone.'),
    ),
    heads=[
        dict(feature='avg', in_channels=2048, norm='bn'),
        dict(feature='avg', in_channels=2048, extra=True),
    ],
)

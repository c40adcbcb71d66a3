"""Linear probe on ImageNet-1K of the ResNet-50 of pmsn_r50_in1k.py.

    bash tools/dist_train.sh configs/pmsn/benchmarks/r50_8xb128-linear-coslr-100e_in1k.py 8

Made of MMPretrain's classes alone. The encoder is frozen, with the running
statistics of its batch normalisation; a linear layer is trained on the mean
of the last map. Optimizer and schedule are those of the linear probe of
ViT-B/16, not a recipe of the paper.

Result: not yet run at full size.
"""

_base_ = ['./vit-b16_8xb128-linear-coslr-100e_in1k.py']

checkpoint = 'work_dirs/pmsn_r50_in1k/epoch_300.pth'
model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=50,
        frozen_stages=4,
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='target_backbone.'),
    ),
    neck=dict(_delete_=True, type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', in_channels=2048),
)

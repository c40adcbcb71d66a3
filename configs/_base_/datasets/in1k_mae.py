# ImageNet-1K for MAE: one image of 224 px, 147 of 196 patches hidden.
_base_ = ['./in1k_msn.py']
batch_size = 512

train_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='SeededRandomResizedCrop',
        scale=224,
        crop_ratio_range=(0.2, 1.0),
        interpolation='bicubic',
    ),
    dict(type='SeededFlip', prob=0.5),
    dict(type='SeededRandomMask', grid=14, ratio=0.75),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline=train_pipeline))

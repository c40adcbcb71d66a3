# Embedded long-tailed data, one image of 32 px with 48 of 64 patches hidden.
_base_ = ['./embedded_msn.py']

train_pipeline = [
    dict(
        type='SeededRandomResizedCrop',
        scale=32,
        crop_ratio_range=(0.2, 1.0),
        interpolation='bicubic',
    ),
    dict(type='SeededFlip', prob=0.5),
    dict(type='SeededRandomMask', grid=8, ratio=0.75),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

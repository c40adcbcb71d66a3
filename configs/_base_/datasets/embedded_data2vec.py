# Embedded long-tailed data, one image of 32 px with 39 of 64 patches hidden in blocks.
_base_ = ['./embedded_msn.py']

train_pipeline = [
    dict(type='SeededColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='SeededFlip', prob=0.5),
    dict(
        type='SeededRandomResizedCrop',
        scale=32,
        crop_ratio_range=(0.2, 1.0),
        interpolation='bicubic',
    ),
    # The shares of 196 patches that data2vec has: 120, and blocks of 16 to 196.
    dict(type='SeededBlockMask', grid=8, num_hidden=39, block_range=(5, 64)),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

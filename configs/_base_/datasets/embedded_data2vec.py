# Embedded long-tailed data, one image of 32 px with 24 of 64 patches hidden in small blocks.
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
    # A motif is a few patches wide, and is not to be guessed from far away. The shares of
    # data2vec would be 39 hidden patches in blocks of 5 to 64.
    dict(type='SeededBlockMask', grid=8, num_hidden=24, block_range=(2, 6)),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

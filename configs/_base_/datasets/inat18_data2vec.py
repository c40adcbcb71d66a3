# iNaturalist 2018 for data2vec: one image of 224 px, 120 of 196 patches hidden in blocks.
_base_ = ['./inat18_msn.py']
batch_size = 256

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='SeededColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='SeededFlip', prob=0.5),
    dict(
        type='SeededRandomResizedCrop',
        scale=224,
        crop_ratio_range=(0.08, 1.0),
        interpolation='bicubic',
    ),
    dict(type='SeededBlockMask', grid=14, num_hidden=120, block_range=(16, 196)),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline=train_pipeline))

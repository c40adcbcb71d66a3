# Random crops of 224 px and flips; for the test the central 224 px of 256. Bilinear.
train_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='SeededMultiView',
        transforms=[
            [
                dict(type='SeededRandomResizedCrop', scale=224, interpolation='bilinear'),
                dict(type='SeededFlip', prob=0.5),
            ]
        ],
        num_views=[1],
    ),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bilinear'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]

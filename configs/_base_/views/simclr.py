# Two views of 224 px as in SimCLR: strong colour jitter, blur of half of them.
view = [
    dict(type='SeededRandomResizedCrop', scale=224, crop_ratio_range=(0.08, 1.0)),
    dict(type='SeededFlip', prob=0.5),
    dict(type='SeededColorJitter', brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, prob=0.8),
    dict(type='SeededGrayscale', prob=0.2),
    dict(type='SeededGaussianBlur', radius_range=(0.1, 2.0), prob=0.5),
]
pretrain_pipeline = [
    dict(type='LoadImage', defer=True),
    dict(
        type='SeededMultiView',
        transforms=[view],
        num_views=[2],
        backend='{{$VIEW_BACKEND:opencv}}',
    ),
    dict(type='PackInputs'),
]

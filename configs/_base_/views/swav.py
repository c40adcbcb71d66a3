# Two views of 224 px and six of 96 px as in SwAV.
distortion = [
    dict(type='SeededFlip', prob=0.5),
    dict(type='SeededColorJitter', brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, prob=0.8),
    dict(type='SeededGrayscale', prob=0.2),
    dict(type='SeededGaussianBlur', radius_range=(0.1, 2.0), prob=0.5),
]
large = [
    dict(type='SeededRandomResizedCrop', scale=224, crop_ratio_range=(0.14, 1.0)),
    *distortion,
]
small = [
    dict(type='SeededRandomResizedCrop', scale=96, crop_ratio_range=(0.05, 0.14)),
    *distortion,
]
pretrain_pipeline = [
    dict(type='LoadImage', defer=True),
    dict(
        type='SeededMultiView',
        transforms=[large, small],
        num_views=[2, 6],
        backend='{{$VIEW_BACKEND:opencv}}',
    ),
    dict(type='PackInputs'),
]

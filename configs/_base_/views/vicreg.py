# Two views of 224 px as in VICReg: the first always blurred, the second at times solarised.
crop_and_color = [
    dict(
        type='SeededRandomResizedCrop',
        scale=224,
        crop_ratio_range=(0.08, 1.0),
        interpolation='bicubic',
    ),
    dict(type='SeededFlip', prob=0.5),
    dict(type='SeededColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, prob=0.8),
    dict(type='SeededGrayscale', prob=0.2),
]
first_view = [
    *crop_and_color,
    dict(type='SeededGaussianBlur', radius_range=(0.1, 2.0), prob=1.0),
    dict(type='SeededSolarize', thr=128, prob=0.0),
]
second_view = [
    *crop_and_color,
    dict(type='SeededGaussianBlur', radius_range=(0.1, 2.0), prob=0.1),
    dict(type='SeededSolarize', thr=128, prob=0.2),
]
pretrain_pipeline = [
    dict(type='LoadImage', defer=True),
    dict(
        type='SeededMultiView',
        transforms=[first_view, second_view],
        num_views=[1, 1],
        backend='{{$VIEW_BACKEND:opencv}}',
    ),
    dict(type='PackInputs'),
]

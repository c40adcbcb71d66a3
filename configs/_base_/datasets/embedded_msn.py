# Embedded long-tailed data: one target and one anchor of 32 px, two focal anchors of 20 px.
# SEED in the environment permutes which class is frequent (and seeds the weights, see the config).
seed = int('{{$SEED:0}}')
batch_size = 64

color = [
    dict(type='SeededFlip', prob=0.5),
    dict(type='SeededColorJitter', brightness=0.6, contrast=0.6, saturation=0.4, prob=0.8),
    dict(type='SeededSolarize', thr=0, prob=0.2),  # inverts every pixel
    dict(type='SeededGrayscale', prob=0.5),
    dict(type='SeededGaussianBlur', radius_range=(0.1, 1.0), prob=0.2),
]
large_view = [dict(type='SeededRandomResizedCrop', scale=32, crop_ratio_range=(0.3, 1.0)), *color]
focal_view = [dict(type='SeededRandomResizedCrop', scale=20, crop_ratio_range=(0.1, 0.4)), *color]

train_pipeline = [
    dict(type='SeededMultiView', transforms=[large_view, focal_view], num_views=[2, 2]),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='Resize', scale=32, backend='pillow'), dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='EpochSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='PatternsLT', split='train', class_seed=seed, pipeline=train_pipeline),
)

# k-NN of the test split against the probe split; both hold equally many images of each class.
eval_dataloader = dict(
    batch_size=200,
    num_workers=0,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
bank_dataloader = dict(
    **eval_dataloader,
    dataset=dict(type='PatternsLT', split='probe', pipeline=test_pipeline, test_mode=True),
)
val_dataloader = dict(
    **eval_dataloader,
    dataset=dict(type='PatternsLT', split='test', pipeline=test_pipeline, test_mode=True),
)
val_cfg = dict(type='KNNValLoop', bank_dataloader=bank_dataloader, k=[10, 20], temperature=0.07)
val_evaluator = []

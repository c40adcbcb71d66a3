# iNaturalist 2018 as downloaded, with the views of the MSN release: one target and one anchor of
# 224 px, ten focal anchors of 96 px. VIEW_BACKEND in the environment chooses what makes the views:
# opencv (the default), pillow (the reference) or device; they draw the same.
data_root = 'data/inaturalist2018'
num_focal_views = 10
batch_size = 128

color = [
    dict(type='SeededFlip', prob=0.5),
    dict(type='SeededColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, prob=0.8),
    dict(type='SeededGrayscale', prob=0.2),
    dict(type='SeededGaussianBlur', radius_range=(0.1, 2.0), prob=0.5),
]
large_view = [dict(type='SeededRandomResizedCrop', scale=224, crop_ratio_range=(0.3, 1.0)), *color]
focal_view = [dict(type='SeededRandomResizedCrop', scale=96, crop_ratio_range=(0.05, 0.3)), *color]

train_pipeline = [
    dict(type='LoadImage', defer=True),
    dict(
        type='SeededMultiView',
        transforms=[large_view, focal_view],
        num_views=[2, num_focal_views],
        backend='{{$VIEW_BACKEND:opencv}}',
    ),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeEdge', scale=256, edge='short'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=12,
    persistent_workers=True,
    drop_last=True,
    pin_memory=True,
    sampler=dict(type='EpochSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='INaturalist2018', data_root=data_root, split='train', pipeline=train_pipeline
    ),
)

# k-NN of the validation split against the training split, on the target network. Without
# test_mode, so that an undecodable image is left out with a warning and does not end the training.
eval_dataloader = dict(
    batch_size=batch_size,
    num_workers=12,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
bank_dataloader = dict(
    **eval_dataloader,
    dataset=dict(
        type='INaturalist2018',
        data_root=data_root,
        split='train',
        pipeline=test_pipeline,
    ),
)
val_dataloader = dict(
    **eval_dataloader,
    dataset=dict(
        type='INaturalist2018',
        data_root=data_root,
        split='val',
        pipeline=test_pipeline,
    ),
)
val_cfg = dict(type='KNNValLoop', bank_dataloader=bank_dataloader, k=[10, 20], temperature=0.07)
val_evaluator = []

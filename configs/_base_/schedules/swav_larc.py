# SGD with LARC of SwAV (no clipping; every tensor adapted, decayed) for batch 4096: ten epochs of
# warm-up from 0.3, then a cosine to a thousandth, over whatever `train_cfg.max_epochs` says.
optim_wrapper = dict(
    type='GroupClipOptimWrapper',
    optimizer=dict(
        type='LayerwiseSGD',
        lr=4.8,
        momentum=0.9,
        weight_decay=1e-6,
        eta=1e-3,
        eps=1e-8,
        trust_norm='separate',
        lr_in_momentum=False,
        exclude_1d=[],
    ),
)
param_scheduler = [
    dict(
        type='WarmupCosineParamScheduler',
        param_name='lr',
        warmup=10,
        start_factor=0.0625,
        eta_min_ratio=1e-3,
        stretch=1.0,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=800, val_interval=50)

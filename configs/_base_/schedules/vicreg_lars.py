# LARS of VICReg (rate outside the momentum, norm of gradient and decay together) for batch 2048:
# ten epochs of warm-up, then a cosine to a thousandth, over whatever `train_cfg.max_epochs` says.
optim_wrapper = dict(
    type='GroupClipOptimWrapper',
    optimizer=dict(
        type='LayerwiseSGD',
        lr=1.6,
        momentum=0.9,
        weight_decay=1e-6,
        eta=1e-3,
        eps=0.0,
        trust_norm='update',
        lr_in_momentum=False,
        exclude_1d=['adaptation', 'decay'],
    ),
)
param_scheduler = [
    dict(
        type='WarmupCosineParamScheduler',
        param_name='lr',
        warmup=10,
        start_factor=1e-6,
        eta_min_ratio=1e-3,
        stretch=1.0,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=1000, val_interval=50)

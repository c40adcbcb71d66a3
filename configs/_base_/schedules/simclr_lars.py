# SimCLR with MMPretrain's LARS (rate inside the momentum, norms apart; the original code has the
# norm of gradient and decay together: trust_norm='update', eps=0) for batch 4096: ten epochs of
# warm-up, then a cosine to zero, over whatever `train_cfg.max_epochs` says.
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
        lr_in_momentum=True,
        exclude_1d=['adaptation', 'decay'],
    ),
)
param_scheduler = [
    dict(
        type='WarmupCosineParamScheduler',
        param_name='lr',
        warmup=10,
        start_factor=1e-6,
        eta_min=0.0,
        stretch=1.0,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=300, val_interval=50)

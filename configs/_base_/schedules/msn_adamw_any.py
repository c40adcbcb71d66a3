# Optimizer and schedules of the MSN release for data of any size: the train loop chooses the
# number of epochs, and every schedule takes its length from there.
optim_wrapper = dict(
    type='GroupClipOptimWrapper',
    constructor='MSNOptimWrapperConstructor',
    optimizer=dict(
        type='AdamW', lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.04, fused=True
    ),
    # Of the encoder and the projection; the prototypes are not clipped.
    clip_grad=dict(max_norm=3.0),
)

param_scheduler = [
    # 15 epochs of warm-up, but a tenth of the training at most; from 0.2 x lr.
    dict(
        type='WarmupCosineParamScheduler',
        param_name='lr',
        eta_min=1e-6,
        warmup=15,
        max_warmup_share=0.1,
        start_factor=0.2,
        stretch=1.25,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='WarmupCosineParamScheduler',
        param_name='weight_decay',
        eta_min=0.4,
        stretch=1.25,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]

# As many epochs as come to `steps` iterations, within the limits; `max_epochs` sets them itself.
train_cfg = dict(
    type='StepBudgetTrainLoop',
    steps=100_000,
    epochs=(30, 800),
    max_epochs=None,
    val_interval=50,
)

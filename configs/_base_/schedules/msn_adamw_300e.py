# Optimizer and schedules of the MSN release for `epochs` epochs. They are not scaled with the
# batch size, and stretch over 1.25 x epochs, so that training ends before they do.
epochs = 300
warmup_epochs = 15

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
    dict(
        type='LinearLR',
        start_factor=0.2,
        by_epoch=True,
        begin=0,
        end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        T_max=1.25 * epochs - warmup_epochs,
        eta_min=1e-6,
        by_epoch=True,
        begin=warmup_epochs,
        end=epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingWeightDecay',
        T_max=1.25 * epochs,
        eta_min=0.4,
        by_epoch=True,
        begin=0,
        end=epochs,
        convert_to_iter_based=True,
    ),
]

train_cfg = dict(type='ResumableTrainLoop', max_epochs=epochs, val_interval=50)

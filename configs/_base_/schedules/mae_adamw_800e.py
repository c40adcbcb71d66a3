# Optimizer and schedule of the MAE release: learning rate 1.5e-4 for each 256 images of the global
# batch, warm-up from 0 over 40 epochs, cosine to 0, no clipping.
epochs = 800
warmup_epochs = 40
global_batch_size = 4096

optim_wrapper = dict(
    type='GroupClipOptimWrapper',
    # No weight decay for biases and one-dimensional parameters, as released.
    constructor='MSNOptimWrapperConstructor',
    optimizer=dict(
        type='AdamW',
        lr=1.5e-4 * global_batch_size / 256,
        betas=(0.9, 0.95),
        eps=1e-8,
        weight_decay=0.05,
        fused=True,
    ),
)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-9,
        by_epoch=True,
        begin=0,
        end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        T_max=epochs - warmup_epochs,
        eta_min=0.0,
        by_epoch=True,
        begin=warmup_epochs,
        end=epochs,
        convert_to_iter_based=True,
    ),
]

train_cfg = dict(type='ResumableTrainLoop', max_epochs=epochs, val_interval=100)

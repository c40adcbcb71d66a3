# Optimizer and schedule of the data2vec release for images, for a global batch of 2048: warm-up
# from 1e-6 over 10 epochs, cosine to 1e-5, norm of all gradients clipped at 3.
epochs = 800
warmup_epochs = 10

optim_wrapper = dict(
    type='GroupClipOptimWrapper',
    optimizer=dict(
        type='AdamW', lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05, fused=True
    ),
    clip_grad=dict(max_norm=3.0),
    # As released: no weight decay for biases, one-dimensional parameters and the class token.
    paramwise_cfg=dict(
        bias_decay_mult=0.0,
        norm_decay_mult=0.0,
        flat_decay_mult=0.0,
        custom_keys=dict(cls_token=dict(decay_mult=0.0)),
    ),
)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-6 / 2e-3,
        by_epoch=True,
        begin=0,
        end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        T_max=epochs - warmup_epochs,
        eta_min=1e-5,
        by_epoch=True,
        begin=warmup_epochs,
        end=epochs,
        convert_to_iter_based=True,
    ),
]

train_cfg = dict(type='ResumableTrainLoop', max_epochs=epochs, val_interval=100)

# Small models on the embedded data: three epochs of warm-up times a cosine over the training,
# whatever its length; constant weight decay.
_base_ = ['./msn_adamw_300e.py']

optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        by_epoch=True,
        begin=0,
        end=3,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-6,
        by_epoch=True,
        begin=0,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=30, val_interval=5)

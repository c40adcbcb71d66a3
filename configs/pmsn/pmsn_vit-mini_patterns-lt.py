"""PMSN, a small ViT, embedded long-tailed patterns: the demo, minutes on two CPU cores.

    python tools/train.py configs/pmsn/pmsn_vit-mini_patterns-lt.py

Result: to be measured.
"""

_base_ = [
    '../_base_/models/pmsn_vit-mini.py',
    '../_base_/datasets/patterns-lt_msn.py',
    '../_base_/schedules/msn_adamw_300e.py',
    '../_base_/default_runtime.py',
]
epochs = 30
warmup_epochs = 3

optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        by_epoch=True,
        begin=0,
        end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        T_max=epochs - warmup_epochs,
        eta_min=1e-6,
        by_epoch=True,
        begin=warmup_epochs,
        end=epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=epochs, val_interval=5)
randomness = dict(seed={{_base_.seed}})
default_hooks = dict(logger=dict(interval=10))

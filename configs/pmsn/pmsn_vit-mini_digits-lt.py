"""PMSN, a small ViT, long-tailed scans of handwritten digits: real input, minutes on a CPU.

    python tools/train.py configs/pmsn/pmsn_vit-mini_digits-lt.py

Result: to be measured.
"""

_base_ = [
    '../_base_/models/pmsn_vit-mini.py',
    '../_base_/datasets/digits-lt_msn.py',
    '../_base_/schedules/msn_adamw_300e.py',
    '../_base_/default_runtime.py',
]
epochs = 200
warmup_epochs = 20

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
        T_max=epochs - warmup_epochs,
        eta_min=1e-6,
        by_epoch=True,
        begin=warmup_epochs,
        end=epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=epochs, val_interval=20)
randomness = dict(seed={{_base_.seed}})
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(interval=20))

"""PMSN, a small ViT, long-tailed scans of handwritten digits: real input, minutes on a CPU.

    python tools/train.py configs/pmsn/pmsn_vit-mini_digits-lt.py

Result, top-1 on the balanced test split (25 scans of each digit), one seed:
k-NN 0.880, linear probe 0.912; untrained network 0.544 and 0.792. Raw pixels,
0.936 and 0.924, are better: the scans are centred and 8 x 8, and only 364 are
trained on. Hardware: one CPU core, four minutes. The settings were not tuned.
"""

_base_ = ['./pmsn_vit-mini_patterns-lt.py']

# A digit is its whole shape: larger crops than for patterns, never mirrored, no colours.
color = [dict(type='SeededColorJitter', brightness=0.4, contrast=0.4, prob=0.8)]
large_view = [dict(type='SeededRandomResizedCrop', scale=32, crop_ratio_range=(0.5, 1.0)), *color]
focal_view = [dict(type='SeededRandomResizedCrop', scale=20, crop_ratio_range=(0.2, 0.5)), *color]
train_pipeline = [
    dict(type='SeededMultiView', transforms=[large_view, focal_view], num_views=[2, 2]),
    dict(type='PackInputs'),
]

train_dataloader = dict(dataset=dict(type='DigitsLT', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(type='DigitsLT'))
val_cfg = dict(bank_dataloader=dict(dataset=dict(type='DigitsLT')))

# Five iterations an epoch.
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=200, val_interval=20)
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(interval=20))

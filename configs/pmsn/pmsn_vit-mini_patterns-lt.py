"""PMSN, a small ViT, embedded long-tailed patterns: the demo, minutes on two CPU cores.

    python tools/train.py configs/pmsn/pmsn_vit-mini_patterns-lt.py

RESULT
"""

_base_ = [
    '../_base_/models/pmsn_vit-mini.py',
    '../_base_/datasets/embedded_msn.py',
    '../_base_/schedules/msn_adamw_mini.py',
    '../_base_/default_runtime.py',
]
randomness = dict(seed={{_base_.seed}})
default_hooks = dict(logger=dict(interval=10))

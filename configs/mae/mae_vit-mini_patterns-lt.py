"""MAE, a small ViT, embedded long-tailed patterns: minutes on a CPU.

    python tools/train.py configs/mae/mae_vit-mini_patterns-lt.py

Optimizer and schedule are those of all small configs here, MSN's (AdamW at
2e-3, betas 0.9 and 0.999, weight decay 0.04, gradients clipped at 3, three
epochs of warm-up), not MAE's.

Result, top-1 on the balanced test split, one seed (SEED=0): linear probe
0.554, k-NN 0.228. Untrained network 0.453 and 0.211, raw pixels 0.129 and
0.329. Hardware: one CPU core, one minute. The settings were hardly tuned;
k-NN on MAE's features is known to be weak.

Evaluated are the patches' mean, not the class token as in the large configs.
"""

_base_ = [
    '../_base_/models/mae_vit-mini.py',
    '../_base_/datasets/embedded_mae.py',
    '../_base_/schedules/msn_adamw_mini.py',
    '../_base_/default_runtime.py',
]
randomness = dict(seed={{_base_.seed}})
train_cfg = dict(max_epochs=20)
default_hooks = dict(logger=dict(interval=10))

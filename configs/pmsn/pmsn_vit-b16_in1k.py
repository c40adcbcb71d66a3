"""PMSN, ViT-B/16, ImageNet-1K: the encoder and the length of the paper, on balanced data.

Paper: The Hidden Uniform Cluster Prior in Self-Supervised Learning (ICLR 2023).

    bash tools/dist_train.sh configs/pmsn/pmsn_vit-b16_in1k.py 8

Global batch 8 x 128 = 1024, 300 epochs of 1251 iterations, 1024 prototypes,
power-law prior of exponent 0.25, lambda 1, views 1 + 1 + 10. Optimizer and
schedules are those of the MSN release, not scaled. Our own choices, Sinkhorn's
marginal and patch drop 0.15, are those of pmsn_vit-b16_inat18.py.

Every 100 epochs k-NN against all training images, which keeps 4 GB of
features in each process; without: --cfg-options val_cfg=None
val_dataloader=None val_evaluator=None.

The images are expected under data/imagenet; another place: --cfg-options
train_dataloader.dataset.data_root=PATH (and the same for
val_dataloader.dataset and val_cfg.bank_dataloader.dataset).

Result: not yet run at full size.
"""

_base_ = [
    '../_base_/models/pmsn_vit-b16.py',
    '../_base_/datasets/in1k_msn.py',
    '../_base_/schedules/msn_adamw_300e.py',
    '../_base_/default_runtime.py',
]

train_cfg = dict(val_interval=100)

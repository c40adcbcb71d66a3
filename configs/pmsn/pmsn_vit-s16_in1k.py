"""PMSN, ViT-S/16, ImageNet-1K: MSN as released, with the power-law prior.

Paper: The Hidden Uniform Cluster Prior in Self-Supervised Learning (ICLR 2023).

On two machines of eight GPUs (NODE_RANK is 0 on the first, 1 on the second):

    NNODES=2 NODE_RANK=0 MASTER_ADDR=<first machine> \\
        bash tools/dist_train.sh configs/pmsn/pmsn_vit-s16_in1k.py 8

Global batch 16 x 64 = 1024, 800 epochs of 1251 iterations, 1024 prototypes,
lambda 1, patch drop 0.15, views 1 + 1 + 10: the released config of MSN, whose
values do not scale with the batch. On one machine of eight GPUs with enough
memory: --cfg-options train_dataloader.batch_size=128. The prior (exponent
0.25) and its use as Sinkhorn's marginal are the only changes; that marginal
is our choice, and a recipe for ViT-S/16 is not known of the paper.

Every 100 epochs k-NN against all training images, which keeps 2 GB of
features in each process; without: --cfg-options val_cfg=None
val_dataloader=None val_evaluator=None.

The images are expected under data/imagenet; another place: --cfg-options
train_dataloader.dataset.data_root=PATH (and the same for
val_dataloader.dataset and val_cfg.bank_dataloader.dataset).

Result: not yet run at full size.
"""

_base_ = [
    '../_base_/models/pmsn_vit-s16.py',
    '../_base_/datasets/in1k_msn.py',
    '../_base_/schedules/msn_adamw_800e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=64)

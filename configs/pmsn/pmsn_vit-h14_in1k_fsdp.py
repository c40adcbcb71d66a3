"""PMSN, ViT-H/14, ImageNet-1K: sharded over the GPUs, in bfloat16, blocks recomputed.

Paper: The Hidden Uniform Cluster Prior in Self-Supervised Learning (ICLR 2023).

On two machines of eight GPUs (NODE_RANK is 0 on the first, 1 on the second):

    NNODES=2 NODE_RANK=0 MASTER_ADDR=<first machine> \\
        bash tools/dist_train.sh configs/pmsn/pmsn_vit-h14_in1k_fsdp.py 8

Global batch 16 x 64 = 1024, 300 epochs of 1251 iterations; as
pmsn_vit-l16_in1k_fsdp.py but for the encoder, its focal views of 98 px, which
patches of 14 px divide where they do not divide 96, and its recomputed
blocks. Nothing was tuned for this size, and a recipe for ViT-H/14 is not
known of the paper. What it needs in memory, by formula: docs/large_models.md.

Every 100 epochs k-NN against all training images, which keeps 7 GB of
features in each process; without: --cfg-options val_cfg=None
val_dataloader=None val_evaluator=None.

The images are expected under data/imagenet; another place: --cfg-options
train_dataloader.dataset.data_root=PATH (and the same for
val_dataloader.dataset and val_cfg.bank_dataloader.dataset).

Result: not yet run at full size.
"""

_base_ = ['./pmsn_vit-l16_in1k_fsdp.py']

model = dict(
    backbone=dict(arch='vit-h/14', with_cp=True),
    neck=dict(in_channels=1280),
)

load, views, pack = _base_.train_pipeline
focal_view = [dict(_base_.focal_view[0], scale=98), *_base_.focal_view[1:]]
train_pipeline = [load, dict(views, transforms=[_base_.large_view, focal_view]), pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

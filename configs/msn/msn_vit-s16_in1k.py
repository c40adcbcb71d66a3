"""MSN, ViT-S/16, ImageNet-1K: as released.

Paper: Masked Siamese Networks for Label-Efficient Learning (ECCV 2022).

On two machines of eight GPUs (NODE_RANK is 0 on the first, 1 on the second):

    NNODES=2 NODE_RANK=0 MASTER_ADDR=<first machine> \\
        bash tools/dist_train.sh configs/msn/msn_vit-s16_in1k.py 8

Global batch 16 x 64 = 1024, 800 epochs of 1251 iterations, 1024 prototypes,
lambda 1, patch drop 0.15, views 1 + 1 + 10, full precision: the values of the
one config that MSN was released with. On one machine of eight GPUs with
enough memory: --cfg-options train_dataloader.batch_size=128.

Everything is pmsn_vit-s16_in1k.py, but for the prior and Sinkhorn's marginal.

Result: not yet run at full size.
"""

_base_ = ['../pmsn/pmsn_vit-s16_in1k.py']

model = dict(
    head=dict(
        prior=dict(_delete_=True, type='UniformPrior'),
        sinkhorn=dict(marginal='uniform'),
    )
)

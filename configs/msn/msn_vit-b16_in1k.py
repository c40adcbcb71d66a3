"""MSN, ViT-B/16, ImageNet-1K: the uniform prior beside PMSN's.

Paper: Masked Siamese Networks for Label-Efficient Learning (ECCV 2022), with
the settings of The Hidden Uniform Cluster Prior in Self-Supervised Learning
(ICLR 2023).

    bash tools/dist_train.sh configs/msn/msn_vit-b16_in1k.py 8

Global batch 8 x 128 = 1024, 300 epochs of 1251 iterations, 1024 prototypes.
Everything is pmsn_vit-b16_in1k.py, but for the prior and Sinkhorn's marginal,
which is uniform as released. The patch drop of ViT-B/16 was not released;
0.15 is that of ViT-S/16.

Result: not yet run at full size.
"""

_base_ = ['../pmsn/pmsn_vit-b16_in1k.py']

model = dict(
    head=dict(
        prior=dict(_delete_=True, type='UniformPrior'),
        sinkhorn=dict(marginal='uniform'),
    )
)

"""MSN, ViT-B/16, iNaturalist 2018: the uniform prior on naturally long-tailed data.

Paper: Masked Siamese Networks for Label-Efficient Learning (ECCV 2022), with
the settings of The Hidden Uniform Cluster Prior in Self-Supervised Learning
(ICLR 2023).

    bash tools/dist_train.sh configs/msn/msn_vit-b16_inat18.py 8

Everything is pmsn_vit-b16_inat18.py, but for the prior and Sinkhorn's
marginal, which is uniform as released. For another prior on these data see
docs/priors.md.

Result: not yet run at full size.
"""

_base_ = ['../pmsn/pmsn_vit-b16_inat18.py']

model = dict(
    head=dict(
        prior=dict(_delete_=True, type='UniformPrior'),
        sinkhorn=dict(marginal='uniform'),
    )
)

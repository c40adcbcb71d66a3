"""SwAV with a power-law prior, ResNet-50, iNaturalist 2018.

Paper: Unsupervised Learning of Visual Features by Contrasting Cluster
Assignments (NeurIPS 2020).

    NNODES=8 bash tools/dist_train.sh configs/swav/swav_r50_inat18_powerlaw.py 8

Sinkhorn's marginal over prototypes is proportional to k^-0.25, as the public
config of the VISSL library has it; all else as swav_r50_inat18.py. SwAV is our
addition to the study of The Hidden Uniform Cluster Prior in Self-Supervised
Learning (ICLR 2023).

Result: not yet run at full size.
"""

_base_ = ['./swav_r50_inat18.py']

model = dict(head=dict(prior=dict(_delete_=True, type='PowerLawPrior', exponent=0.25)))

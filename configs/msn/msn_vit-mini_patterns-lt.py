"""MSN, a small ViT, embedded long-tailed patterns.

    python tools/train.py configs/msn/msn_vit-mini_patterns-lt.py

pmsn_vit-mini_patterns-lt.py with a uniform prior and marginal.

Result: not yet measured over its 30 epochs; ten of them are in docs/results.md.
"""

_base_ = ['../pmsn/pmsn_vit-mini_patterns-lt.py']

model = dict(
    head=dict(
        prior=dict(_delete_=True, type='UniformPrior'),
        sinkhorn=dict(marginal='uniform'),
    )
)

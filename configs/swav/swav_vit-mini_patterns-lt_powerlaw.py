"""SwAV with a power-law prior, a small ViT, embedded long-tailed patterns.

    python tools/train.py configs/swav/swav_vit-mini_patterns-lt_powerlaw.py

Sinkhorn's marginal over prototypes is proportional to k^-0.25; all else as
swav_vit-mini_patterns-lt.py.

Result: not yet measured; docs/results.md has ten epochs of the exponent 1.
"""

_base_ = ['./swav_vit-mini_patterns-lt.py']

model = dict(head=dict(prior=dict(_delete_=True, type='PowerLawPrior', exponent=0.25)))

"""The learning rate of each method of the studies, with the same small budget for all.

    python tools/study.py configs/studies/tuning.py

Three rates for each method, one seed that no other study uses, class-balanced
data, shuffled batches. The rule, fixed before any run: the rate with the best
mean of the linear probe and k-NN on the class. What came out stands in
docs/results.md; `_base_/studies/methods.py` has the rates that were taken.
"""

_base_ = ['../_base_/studies/small.py']

title = 'Learning rates'
question = 'Which learning rate does each method take in all other studies?'

factors = dict(
    method=dict(
        simclr=dict(config='../simclr/simclr_vit-mini_patterns-lt.py'),
        vicreg=dict(config='../vicreg/vicreg_vit-mini_patterns-lt.py'),
        swav=dict(config='../swav/swav_vit-mini_patterns-lt.py'),
        msn=dict(config='../msn/msn_vit-mini_patterns-lt.py'),
        mae=dict(config='../mae/mae_vit-mini_patterns-lt.py'),
        data2vec=dict(config='../data2vec/data2vec_vit-mini_patterns-lt.py'),
    ),
    rate={
        '0.001': dict(options={'optim_wrapper.optimizer.lr': 1e-3}),
        '0.002': dict(options={'optim_wrapper.optimizer.lr': 2e-3}),
        '0.004': dict(options={'optim_wrapper.optimizer.lr': 4e-3}),
    },
)
options = {'+train_dataloader.dataset.exponent': 0.0}
grids = [
    dict(
        levels=dict(
            method=['simclr', 'vicreg', 'swav', 'msn', 'mae', 'data2vec'],
            rate=['0.001', '0.002', '0.004'],
        ),
        seeds=[100],
    )
]
contrasts = [
    dict(
        title='Learning rates',
        factor='rate',
        baseline='0.002',
        metrics=['patterns/linear', 'patterns/knn10'],
    )
]

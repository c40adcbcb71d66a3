"""The learning rate of each method of the studies, with the same small budget for all.

    python tools/study.py configs/studies/tuning.py

The rates are tried with one seed that no other study uses, on class-balanced
data in shuffled batches. The rule, fixed before any run: the rate with the best
mean of the linear probe and k-NN on the class. Two grids were added when the
first had run, in which all but MAE were best at its highest rate, MAE did not
beat its untrained network and data2vec was far behind the others: a higher rate
for all, and longer trainings for these two, whose epochs cost a third and a half
of the others', up to about the same cost. What came out stands in
docs/results.md.
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
        '0.008': dict(options={'optim_wrapper.optimizer.lr': 8e-3}),
    },
    epochs={
        '10': dict(),
        '20': dict(options={'train_cfg.max_epochs': 20, 'train_cfg.val_interval': 20}),
        '40': dict(options={'train_cfg.max_epochs': 40, 'train_cfg.val_interval': 40}),
    },
)
options = {'+train_dataloader.dataset.exponent': 0.0}
grids = [
    dict(
        name='first',
        levels=dict(
            method=['simclr', 'vicreg', 'swav', 'msn', 'mae', 'data2vec'],
            rate=['0.001', '0.002', '0.004'],
        ),
        seeds=[100],
    ),
    dict(
        name='higher',
        levels=dict(method=['simclr', 'vicreg', 'swav', 'msn'], rate=['0.008']),
        seeds=[100],
    ),
    dict(
        name='mae',
        levels=dict(method=['mae'], rate=['0.001', '0.002', '0.004'], epochs=['40']),
        seeds=[100],
    ),
    dict(
        name='data2vec',
        levels=dict(method=['data2vec'], rate=['0.002', '0.004', '0.008'], epochs=['20']),
        seeds=[100],
    ),
]
contrasts = [
    dict(
        title='Learning rates',
        factor='rate',
        baseline='0.002',
        metrics=['patterns/linear', 'patterns/knn10'],
    )
]

"""SwAV with a prior as Sinkhorn's marginal: does the effect carry over?

python tools/study.py configs/studies/swav_prior.py
"""

_base_ = ['../_base_/studies/long_tail.py', '../_base_/studies/methods.py']

title = 'SwAV with a prior'
question = 'Does a prior do to SwAV what it does to PMSN?'

factors = dict(
    data={
        '0': dict(options={'+train_dataloader.dataset.exponent': 0.0}),
        '1': dict(options={'+train_dataloader.dataset.exponent': 1.0}),
    },
    prior={
        '0': dict(),
        '1': dict(
            options={
                'model.head.prior.type': 'PowerLawPrior',
                '+model.head.prior.exponent': 1.0,
            }
        ),
    },
)
grids = [
    dict(levels=dict(method=['swav'], data=['0', '1'], prior=['0', '1']), seeds=3),
]
_class = ['patterns/linear', 'patterns/knn10']
contrasts = [
    dict(title='Exponent of the prior of SwAV', factor='prior', baseline='0', metrics=_class),
    dict(
        title='What prior 1 gives SwAV on long-tailed data, beside balanced',
        difference=dict(prior=['1', '0']),
        factor='data',
        baseline='0',
        metrics=_class,
    ),
    dict(
        title='Exponent of the prior of SwAV, in detail',
        factor='prior',
        baseline='0',
        metrics=['patterns/linear_few', 'train/nmi', 'train/kl_to_prior', 'train/head_over_tail'],
        tests=False,
    ),
]

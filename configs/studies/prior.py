"""Which prior on which data: PMSN on power-law data of four exponents.

    python tools/study.py configs/studies/prior.py --dry-run
    python tools/study.py configs/studies/prior.py

The prior (0 is uniform, which is MSN; 'empirical' is the classes' true sizes)
is crossed with the exponent of the data; the weight of its term, Sinkhorn's
marginal and the number of prototypes are varied one at a time.

The direction that is claimed: a matching prior helps on long-tailed data, and
can hurt on balanced data.
"""

_base_ = ['../_base_/studies/small.py', '../_base_/studies/methods.py']

title = 'The prior'
question = 'Which prior suits which data, and how much do the other choices matter?'

factors = dict(
    method={
        'sorted pmsn': dict(
            config='../_base_/studies/pmsn_sorted.py',
            options={'optim_wrapper.optimizer.lr': 4e-3},
        ),
    },
    data={
        '0': dict(options={'+train_dataloader.dataset.exponent': 0.0}),
        '0.5': dict(options={'+train_dataloader.dataset.exponent': 0.5}),
        '1': dict(options={'+train_dataloader.dataset.exponent': 1.0}),
        '1.5': dict(options={'+train_dataloader.dataset.exponent': 1.5}),
    },
    prior={
        '0': dict(options={'model.head.prior.exponent': 0.0}),
        '0.25': dict(options={'model.head.prior.exponent': 0.25}),
        '0.5': dict(options={'model.head.prior.exponent': 0.5}),
        '1': dict(options={'model.head.prior.exponent': 1.0}),
        'empirical': dict(
            options={
                'model.head.prior._delete_': True,
                'model.head.prior.type': 'EmpiricalPrior',
            }
        ),
    },
    # The first level of each is the usual one, which a grid that does not name the factor has.
    weight={
        '1': dict(),
        '0': dict(options={'model.head.prior_loss.loss_weight': 0.0}),
        '5': dict(options={'model.head.prior_loss.loss_weight': 5.0}),
    },
    marginal={
        'prior': dict(),
        'uniform': dict(options={'model.head.sinkhorn.marginal': 'uniform'}),
        'off': dict(options={'model.head.sinkhorn.marginal': 'off'}),
    },
    prototypes={
        '64': dict(),
        '16': dict(options={'model.head.num_prototypes': 16}),
        '256': dict(options={'model.head.num_prototypes': 256}),
    },
)
grids = [
    # The headline: uniform against three exponents, on balanced and on long-tailed data.
    dict(
        name='headline',
        levels=dict(method=['pmsn'], data=['0', '1'], prior=['0', '0.25', '0.5', '1']),
        seeds=5,
    ),
    # Ours: the prior belongs to the sizes, not to the names of the prototypes.
    dict(
        name='sorted',
        levels=dict(method=['sorted pmsn'], data=['1'], prior=['0.25', '1']),
        seeds=5,
    ),
    dict(name='empirical', levels=dict(method=['pmsn'], data=['1'], prior=['empirical']), seeds=3),
    dict(
        name='marginal',
        levels=dict(method=['pmsn'], data=['1'], prior=['0.25', '1'], marginal=['uniform', 'off']),
        seeds=3,
    ),
    dict(
        name='other data',
        levels=dict(method=['pmsn'], data=['0.5', '1.5'], prior=['0', '0.25', '0.5', '1']),
        seeds=3,
    ),
    dict(
        name='weight',
        levels=dict(method=['pmsn'], data=['1'], prior=['0.25'], weight=['0', '5']),
        seeds=3,
    ),
    dict(
        name='prototypes',
        levels=dict(method=['pmsn'], data=['1'], prior=['0', '0.25'], prototypes=['16', '256']),
        seeds=3,
    ),
]
metrics = {
    'patterns/linear': 'Class, linear',
    'patterns/linear_many': 'many',
    'patterns/linear_medium': 'medium',
    'patterns/linear_few': 'few',
    'patterns/knn10': 'Class, k-NN',
    'scenes-kind/linear': 'Kind',
    'scenes-count/linear': 'Count',
    'scenes-distance/linear': 'Distance',
    'train/nmi': 'NMI',
    'train/effective_prototypes': 'prototypes',
    'patterns/rankme': 'RankMe',
}
_usual = dict(weight=['1'], marginal=['prior'], prototypes=['64'])
contrasts = [
    dict(
        title='Exponent of the prior',
        factor='prior',
        baseline='0',
        within=dict(method=['pmsn'], **_usual),
    ),
    dict(
        title='Marginal of Sinkhorn',
        factor='marginal',
        baseline='prior',
        within=dict(data=['1'], prior=['0.25', '1'], weight=['1'], prototypes=['64']),
    ),
    dict(
        title='Weight of the term',
        factor='weight',
        baseline='1',
        within=dict(data=['1'], prior=['0.25'], marginal=['prior'], prototypes=['64']),
    ),
    dict(
        title='Number of prototypes',
        factor='prototypes',
        baseline='64',
        within=dict(data=['1'], prior=['0', '0.25'], weight=['1'], marginal=['prior']),
    ),
    dict(
        title='Sorted matching',
        factor='method',
        baseline='pmsn',
        within=dict(data=['1'], prior=['0.25', '1'], **_usual),
    ),
]

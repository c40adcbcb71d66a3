"""Which prior on which data: PMSN on power-law data of four exponents.

    python tools/study.py configs/studies/prior.py --dry-run
    python tools/study.py configs/studies/prior.py

The prior (0 is uniform, which is MSN; 'empirical' is the classes' true sizes)
is crossed with the exponent of the data; the weight of its term, Sinkhorn's
marginal and the number of prototypes are varied one at a time.

The direction that is claimed: a matching prior helps on long-tailed data, and
can hurt on balanced data. What is tested of it: the class, by linear probe and
k-NN, over five seeds, and what a prior gives on long-tailed data beside what it
gives on balanced data; marginal and sorted matching likewise. All else is shown
with intervals and without tests.

Rules, fixed before the first of these runs: a default (marginal 'prior', weight
1, exponent 0.25) gives way to another level if that is better on data 1 by the
mean of linear probe and k-NN and by both, with an interval of neither that
reaches 0; sorted matching becomes an option of the library if it is better than
fixed ranks in the same sense under either prior, and worse under none.

With weight 0 the prior acts by the marginal alone, with the marginal off by the
term alone.
"""

_base_ = ['../_base_/studies/long_tail.py', '../_base_/studies/methods.py']

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
    # The headline: uniform, the default, a steep one and the true sizes.
    dict(
        name='headline',
        levels=dict(method=['pmsn'], data=['0', '1'], prior=['0', '0.25', '1']),
        seeds=5,
    ),
    dict(name='empirical', levels=dict(method=['pmsn'], data=['1'], prior=['empirical']), seeds=5),
    dict(
        name='marginal',
        levels=dict(method=['pmsn'], data=['1'], prior=['1'], marginal=['uniform', 'off']),
        seeds=5,
    ),
    # Ours: the prior belongs to the sizes, not to the names of the prototypes.
    dict(
        name='sorted',
        levels=dict(method=['sorted pmsn'], data=['1'], prior=['0.25', '1']),
        seeds=5,
    ),
    dict(
        name='default marginal',
        levels=dict(method=['pmsn'], data=['1'], prior=['0.25'], marginal=['uniform', 'off']),
        seeds=3,
    ),
    dict(name='0.5', levels=dict(method=['pmsn'], data=['1'], prior=['0.5']), seeds=3),
    dict(
        name='other data',
        levels=dict(method=['pmsn'], data=['0.5', '1.5'], prior=['0', 'empirical']),
        seeds=3,
    ),
    dict(
        name='weight',
        levels=dict(method=['pmsn'], data=['1'], prior=['1'], weight=['0', '5']),
        seeds=3,
    ),
    dict(
        name='prototypes',
        levels=dict(method=['pmsn'], data=['1'], prior=['0.25'], prototypes=['16', '256']),
        seeds=3,
    ),
]
_class = ['patterns/linear', 'patterns/knn10']
_groups = [*_class, 'patterns/linear_many', 'patterns/linear_medium', 'patterns/linear_few']
_detail = [
    *_groups[2:],
    'train/nmi',
    'train/kl_to_prior',
    'train/head_over_tail',
    'train/effective_prototypes',
]
_small = [*_class, 'train/nmi', 'train/kl_to_prior', 'train/head_over_tail']
_rest = [
    'scenes-kind/linear',
    'scenes-count/linear',
    'scenes-distance/linear',
    'patterns/rankme',
    'train/nmi',
    'train/kl_to_prior',
    'train/head_over_tail',
    'train/effective_prototypes',
]
_usual = dict(method=['pmsn'], weight=['1'], marginal=['prior'], prototypes=['64'])
contrasts = [
    dict(
        title='Exponent of the prior',
        factor='prior',
        baseline='0',
        within=dict(data=['0', '1'], prior=['0', '0.25', '1', 'empirical'], **_usual),
        metrics=_class,
    ),
    # The claim is on data side by side: what a prior gives on one, less what it gives on the other.
    dict(
        title='What prior 1 gives on long-tailed data, beside balanced',
        difference=dict(prior=['1', '0']),
        factor='data',
        baseline='0',
        within=dict(data=['0', '1'], **_usual),
        metrics=_class,
    ),
    dict(
        title='What prior 0.25 gives on long-tailed data, beside balanced',
        difference=dict(prior=['0.25', '0']),
        factor='data',
        baseline='0',
        within=dict(data=['0', '1'], **_usual),
        metrics=_class,
    ),
    dict(
        title='Marginal of Sinkhorn',
        factor='marginal',
        baseline='prior',
        within=dict(_usual, data=['1'], prior=['1'], marginal=['prior', 'uniform', 'off']),
        metrics=_class,
    ),
    dict(
        title='Sorted matching',
        factor='method',
        baseline='pmsn',
        within=dict(_usual, data=['1'], prior=['0.25', '1'], method=['pmsn', 'sorted pmsn']),
        metrics=_class,
    ),
    dict(
        title='Head and tail',
        factor='prior',
        baseline='0',
        within=_usual,
        metrics=_groups,
        tests=False,
    ),
    dict(
        title='Transfer and structure',
        factor='prior',
        baseline='0',
        within=_usual,
        metrics=_rest,
        tests=False,
    ),
    dict(
        title='Marginal of Sinkhorn, in detail',
        factor='marginal',
        baseline='prior',
        within=dict(_usual, data=['1'], marginal=['prior', 'uniform', 'off']),
        metrics=_detail,
        tests=False,
    ),
    dict(
        title='Sorted matching, in detail',
        factor='method',
        baseline='pmsn',
        within=dict(_usual, data=['1'], method=['pmsn', 'sorted pmsn']),
        metrics=_detail,
        tests=False,
    ),
    dict(
        title='Weight of the term',
        factor='weight',
        baseline='1',
        within=dict(_usual, data=['1'], prior=['1'], weight=['0', '1', '5']),
        metrics=_small,
        tests=False,
    ),
    dict(
        title='Number of prototypes',
        factor='prototypes',
        baseline='64',
        within=dict(_usual, data=['1'], prior=['0.25'], prototypes=['16', '64', '256']),
        metrics=_small,
        tests=False,
    ),
]

"""What the mistakes of other implementations cost, on long-tailed data.

    python tools/study.py configs/studies/mistakes.py

The divergence the wrong way round, KL(prior || p_bar); p_bar of each eighth of
the batch, as eight ranks have it that do not reduce it; prototypes that never
move.

Two of them are of the term. Sinkhorn's marginal carries the prior as well, so
all are made once beside it, as the library has it, and once with the marginal
off, where the term acts alone. (The second was added when the first had shown
no cost, and studies/prior.py none of a weight of 0; its own tests were named
before its runs.)
"""

_base_ = ['../_base_/studies/long_tail.py']

title = 'Mistakes of other implementations'
question = 'What do the reverse divergence, a local mean and frozen prototypes cost?'

_wrong = '../_base_/studies/pmsn_mistakes.py'
factors = dict(
    head=dict(
        ours=dict(config='../pmsn/pmsn_vit-mini_patterns-lt.py'),
        reverse=dict(
            config='../pmsn/pmsn_vit-mini_patterns-lt.py',
            options={'+model.head.prior_loss.direction': 'reverse'},
        ),
        local=dict(config=_wrong, options={'model.head.parts': 8}),
        frozen=dict(config=_wrong, options={'model.head.frozen_prototypes': True}),
    ),
    prior={'1': dict(options={'model.head.prior.exponent': 1.0})},
    marginal={
        'prior': dict(),
        'off': dict(options={'model.head.sinkhorn.marginal': 'off'}),
    },
)
# MSN's rate, as in _base_/studies/methods.py.
options = {'+train_dataloader.dataset.exponent': 1.0, 'optim_wrapper.optimizer.lr': 4e-3}
grids = [
    dict(
        levels=dict(
            head=['ours', 'reverse', 'local', 'frozen'], prior=['1'], marginal=['prior', 'off']
        ),
        seeds=3,
    )
]
_class = ['patterns/linear', 'patterns/knn10']
_detail = [
    'patterns/linear_few',
    'train/nmi',
    'train/kl_to_prior',
    'train/head_over_tail',
    'train/effective_prototypes',
]
contrasts = [
    dict(
        title='One mistake at a time',
        factor='head',
        baseline='ours',
        within=dict(marginal=['prior']),
        metrics=_class,
    ),
    dict(
        title='One mistake at a time, where the term acts alone',
        factor='head',
        baseline='ours',
        within=dict(marginal=['off']),
        metrics=_class,
    ),
    dict(
        title='One mistake at a time, in detail',
        factor='head',
        baseline='ours',
        metrics=_detail,
        tests=False,
    ),
]

"""What the mistakes of other implementations cost, on long-tailed data.

    python tools/study.py configs/studies/mistakes.py

The divergence the wrong way round, KL(prior || p_bar); p_bar of each eighth of
the batch, as eight ranks have it that do not reduce it; prototypes that never
move.
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
)
# MSN's rate, as in _base_/studies/methods.py.
options = {'+train_dataloader.dataset.exponent': 1.0, 'optim_wrapper.optimizer.lr': 4e-3}
grids = [dict(levels=dict(head=['ours', 'reverse', 'local', 'frozen'], prior=['1']), seeds=3)]
_class = ['patterns/linear', 'patterns/knn10']
contrasts = [
    dict(title='One mistake at a time', factor='head', baseline='ours', metrics=_class),
    dict(
        title='One mistake at a time, in detail',
        factor='head',
        baseline='ours',
        metrics=['patterns/linear_few', 'train/nmi', 'train/kl_to_prior', 'train/head_over_tail'],
        tests=False,
    ),
]

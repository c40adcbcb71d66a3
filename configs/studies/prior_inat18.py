"""Priors on real long-tailed data at full size: PMSN on iNaturalist 2018, a cluster.

    python tools/study.py configs/studies/prior_inat18.py --dry-run
    GPUS=8 bash tools/slurm_study.sh PARTITION JOB configs/studies/prior_inat18.py DIR

Hardware and cost of a run: configs/pmsn/pmsn_vit-b16_inat18.py; `launch` starts
eight GPUs of one machine.

Result: not yet run.
"""

title = 'The prior, iNaturalist 2018'
question = 'Does a power-law prior help on long-tailed species?'

launch = 'bash tools/dist_train.sh {config} 8'

factors = dict(
    method=dict(pmsn=dict(config='../pmsn/pmsn_vit-b16_inat18.py')),
    prior={
        '0': dict(options={'model.head.prior.exponent': 0.0}),
        '0.25': dict(options={'model.head.prior.exponent': 0.25}),
        '0.5': dict(options={'model.head.prior.exponent': 0.5}),
        '1': dict(options={'model.head.prior.exponent': 1.0}),
    },
    marginal=dict(
        prior=dict(),
        uniform=dict(options={'model.head.sinkhorn.marginal': 'uniform'}),
        off=dict(options={'model.head.sinkhorn.marginal': 'off'}),
    ),
)
grids = [
    dict(
        name='exponent',
        levels=dict(prior=['0', '0.25', '0.5', '1'], marginal=['prior']),
        seeds=1,
    ),
    dict(
        name='marginal',
        levels=dict(prior=['0.25'], marginal=['uniform', 'off']),
        seeds=1,
    ),
]
evaluation = dict(tasks=['all'], protocol='vissl', data_root='data', workers=8)
metrics = {
    'inat18/linear': 'iNat18',
    'inat18/linear_many': 'many',
    'inat18/linear_medium': 'medium',
    'inat18/linear_few': 'few',
    'imagenet/linear': 'IN1K',
    'cifar100/linear': 'CIFAR100',
    'places205/linear': 'Places205',
    'clevr-count/linear': 'Clevr/Count',
    'clevr-dist/linear': 'Clevr/Dist',
    'kitti-dist/linear': 'KITTI/Dist',
}
contrasts = [
    dict(
        title='Exponent of the prior', factor='prior', baseline='0', within=dict(marginal=['prior'])
    ),
    dict(
        title='Marginal of Sinkhorn',
        factor='marginal',
        baseline='prior',
        within=dict(prior=['0.25']),
    ),
]

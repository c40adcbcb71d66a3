"""The paper's study of batch composition at full size: ImageNet-1K on a cluster.

    python tools/study.py configs/studies/batch_composition_in1k.py --dry-run
    GPUS=8 bash tools/slurm_study.sh PARTITION JOB configs/studies/batch_composition_in1k.py DIR

Hardware: `launch` starts eight GPUs of one machine for each run. The global
batches of the recipes (1024 to 4096) want more for some methods; see the
docstring of each config. Cost: twelve pretrainings of 100 to 1000 epochs and the
linear probes of seven tasks for each.

Result: not yet run.
"""

title = 'Batch composition, ImageNet-1K'
question = 'What do few classes in a mini-batch do to each method?'

launch = 'bash tools/dist_train.sh {config} 8'

factors = dict(
    method=dict(
        simclr=dict(config='../simclr/simclr_r50_in1k.py'),
        vicreg=dict(config='../vicreg/vicreg_r50_in1k.py'),
        msn=dict(config='../msn/msn_vit-b16_in1k.py'),
        mae=dict(config='../mae/mae_vit-b16_in1k.py'),
        data2vec=dict(config='../data2vec/data2vec_vit-b16_in1k.py'),
        swav=dict(config='../swav/swav_r50_in1k.py'),
    ),
    batches=dict(
        many={
            'options': {
                'train_dataloader.drop_last': False,
                '+train_dataloader.batch_sampler.type': 'ClassImbalancedBatchSampler',
                '+train_dataloader.batch_sampler.num_classes_per_batch': 960,
            }
        },
        few={
            'options': {
                'train_dataloader.drop_last': False,
                '+train_dataloader.batch_sampler.type': 'ClassImbalancedBatchSampler',
                '+train_dataloader.batch_sampler.num_classes_per_batch': 8,
            }
        },
    ),
)
grids = [
    dict(
        name='paper',
        levels=dict(method=['simclr', 'vicreg', 'msn', 'mae', 'data2vec'], batches=['many', 'few']),
        seeds=1,
    ),
    dict(name='ours', levels=dict(method=['swav'], batches=['many', 'few']), seeds=1),
]
evaluation = dict(tasks=['all'], protocol='vissl', data_root='data', workers=8)
metrics = {
    'imagenet/linear': 'IN1K',
    'cifar100/linear': 'CIFAR100',
    'places205/linear': 'Places205',
    'clevr-count/linear': 'Clevr/Count',
    'clevr-dist/linear': 'Clevr/Dist',
    'kitti-dist/linear': 'KITTI/Dist',
    'inat18/linear': 'iNat18',
}
contrasts = [dict(title='Classes in a mini-batch', factor='batches', baseline='many')]

"""What few classes in a mini-batch do to each method: the paper's first study, in miniature.

    python tools/study.py configs/studies/batch_composition.py --dry-run
    python tools/study.py configs/studies/batch_composition.py

Class-balanced data, 16 classes of 150 images; a batch of 64 has images of all
16 classes in equal numbers (the paper's K = 960 of 1000), of 2 (its K = 8), or
is shuffled. Each method is compared with itself: encoders differ, as MAE and
data2vec need patches that do not overlap.

The paper's direction: joint-embedding methods lose on semantic tasks with few
classes in a batch, methods that reconstruct hardly.
"""

_base_ = ['../_base_/studies/small.py', '../_base_/studies/methods.py']

title = 'Batch composition'
question = 'What do few classes in a mini-batch do to each method?'

factors = dict(
    batches=dict(
        many={
            'options': {
                'train_dataloader.drop_last': False,
                '+train_dataloader.batch_sampler.type': 'ClassImbalancedBatchSampler',
                '+train_dataloader.batch_sampler.num_classes_per_batch': 16,
            }
        },
        shuffled=dict(),
        few={
            'options': {
                'train_dataloader.drop_last': False,
                '+train_dataloader.batch_sampler.type': 'ClassImbalancedBatchSampler',
                '+train_dataloader.batch_sampler.num_classes_per_batch': 2,
            }
        },
    ),
)
options = {'+train_dataloader.dataset.exponent': 0.0}
grids = [
    # The paper's contrast first.
    dict(
        name='paper',
        levels=dict(
            method=['simclr', 'vicreg', 'msn', 'mae', 'data2vec'],
            batches=['many', 'few'],
        ),
        seeds=5,
    ),
    # Ours: SwAV, which the paper left out, and plain shuffling.
    dict(name='swav', levels=dict(method=['swav'], batches=['many', 'few']), seeds=3),
    dict(
        name='shuffled',
        levels=dict(
            method=['simclr', 'vicreg', 'msn', 'mae', 'data2vec', 'swav'], batches=['shuffled']
        ),
        seeds=3,
    ),
]
contrasts = [dict(title='Classes in a mini-batch', factor='batches', baseline='many')]

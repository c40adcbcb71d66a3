# What the studies on long-tailed data show beside the class: groups of classes by their number of
# training images, transfer, and what became of the prior and the prototypes.
_base_ = ['small.py']

metrics = {
    'patterns/linear_many': 'many',
    'patterns/linear_medium': 'medium',
    'patterns/linear_few': 'few',
    'train/nmi': 'NMI',
    'train/kl_to_prior': 'KL to prior',
    'train/head_over_tail': 'head / tail',
    'train/effective_prototypes': 'prototypes',
}

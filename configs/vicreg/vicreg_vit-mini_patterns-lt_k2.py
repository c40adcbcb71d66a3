"""VICReg, a small ViT, embedded patterns in mini-batches of 2 classes.

    python tools/train.py configs/vicreg/vicreg_vit-mini_patterns-lt_k2.py

Every mini-batch of 64 holds 32 images of each of 2 classes, so that all classes
come equally often: compare with the other number of classes (vicreg_vit-mini_patterns-lt_k16.py),
not with the shuffled long tail of vicreg_vit-mini_patterns-lt.py, whose settings it has.

Result: not yet measured on the long tail. On balanced data, 10 epochs at 4e-3 and five
seeds: linear probe 0.637, k-NN 0.454 (configs/studies/batch_composition.py).
"""

_base_ = ['./vicreg_vit-mini_patterns-lt.py']

train_dataloader = dict(
    drop_last=False,  # the batch sampler gives whole batches only
    batch_sampler=dict(type='ClassImbalancedBatchSampler', num_classes_per_batch=2),
)

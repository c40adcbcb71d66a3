"""PMSN, a small ViT, embedded patterns in mini-batches of 2 classes.

    python tools/train.py configs/pmsn/pmsn_vit-mini_patterns-lt_k2.py

Every mini-batch of 64 holds 32 images of each of 2 classes, so that all classes
come equally often: compare with the other number of classes (pmsn_vit-mini_patterns-lt_k16.py),
not with the shuffled long tail of pmsn_vit-mini_patterns-lt.py, whose settings it has.

Result: not yet measured; docs/results.md has ten epochs of MSN on such batches.
"""

_base_ = ['./pmsn_vit-mini_patterns-lt.py']

train_dataloader = dict(
    drop_last=False,  # the batch sampler gives whole batches only
    batch_sampler=dict(type='ClassImbalancedBatchSampler', num_classes_per_batch=2),
)

"""data2vec, a small ViT, embedded patterns in mini-batches of 16 classes, all there are.

    python tools/train.py configs/data2vec/data2vec_vit-mini_patterns-lt_k16.py

Every mini-batch of 64 holds 4 images of each of 16 classes, so that all classes
come equally often: compare with the other number of classes
(data2vec_vit-mini_patterns-lt_k2.py), not with the shuffled long tail of
data2vec_vit-mini_patterns-lt.py, whose settings it has.

Result: not yet measured on the long tail. On balanced data, 20 epochs at 4e-3 and five
seeds: linear probe 0.621, k-NN 0.441 (configs/studies/batch_composition.py).
"""

_base_ = ['./data2vec_vit-mini_patterns-lt.py']

train_dataloader = dict(
    drop_last=False,  # the batch sampler gives whole batches only
    batch_sampler=dict(type='ClassImbalancedBatchSampler', num_classes_per_batch=16),
)

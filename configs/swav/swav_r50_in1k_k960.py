"""SwAV, ResNet-50, ImageNet-1K in class-balanced mini-batches.

Paper: Unsupervised Learning of Visual Features by Contrasting Cluster
Assignments (NeurIPS 2020).

    NNODES=8 bash tools/dist_train.sh configs/swav/swav_r50_in1k_k960.py 8

Every global mini-batch holds images of exactly 960 classes in equal shares; all
else as swav_r50_in1k.py. K = 960 is the setting of The Hidden Uniform Cluster
Prior in Self-Supervised Learning (ICLR 2023) for other methods; SwAV is our
addition to that study.

Result: not yet run at full size.
"""

_base_ = ['./swav_r50_in1k.py']

train_dataloader = dict(
    drop_last=False,  # the batch sampler gives whole batches only
    batch_sampler=dict(type='ClassImbalancedBatchSampler', num_classes_per_batch=960),
)

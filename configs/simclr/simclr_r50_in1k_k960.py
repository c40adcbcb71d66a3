"""SimCLR, ResNet-50, ImageNet-1K in class-balanced mini-batches.

Paper: The Hidden Uniform Cluster Prior in Self-Supervised Learning (ICLR 2023).

    NNODES=4 bash tools/dist_train.sh configs/simclr/simclr_r50_in1k_k960.py 8

Every global mini-batch holds images of exactly 960 classes in equal shares; all
else as simclr_r50_in1k.py. K = 960 is the paper's setting; which of its others
for SimCLR are known, and what is a public default, stands there.

Result: not yet run at full size.
"""

_base_ = ['./simclr_r50_in1k.py']

train_dataloader = dict(
    drop_last=False,  # the batch sampler gives whole batches only
    batch_sampler=dict(type='ClassImbalancedBatchSampler', num_classes_per_batch=960),
)

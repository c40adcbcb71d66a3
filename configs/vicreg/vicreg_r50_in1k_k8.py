"""VICReg, ResNet-50, ImageNet-1K in class-imbalanced mini-batches.

Paper: The Hidden Uniform Cluster Prior in Self-Supervised Learning (ICLR 2023).

    NNODES=4 bash tools/dist_train.sh configs/vicreg/vicreg_r50_in1k_k8.py 8

Every global mini-batch holds images of exactly 8 classes in equal shares; all
else as vicreg_r50_in1k.py. K = 8 is the paper's setting; its others for
VICReg are not known to us, so these are the method's public ones.

Result: not yet run at full size.
"""

_base_ = ['./vicreg_r50_in1k.py']

train_dataloader = dict(
    drop_last=False,  # the batch sampler gives whole batches only
    batch_sampler=dict(type='ClassImbalancedBatchSampler', num_classes_per_batch=8),
)

"""MAE, ViT-B/16, ImageNet-1K, class-imbalanced mini-batches: 8 classes in each.

Paper: The Hidden Uniform Cluster Prior in Self-Supervised Learning (ICLR 2023),
with the method of Masked Autoencoders Are Scalable Vision Learners (CVPR 2022).

    bash tools/dist_train.sh configs/mae/mae_vit-b16_in1k_k8.py 8

Everything is mae_vit-b16_in1k.py, but every global mini-batch holds images
of exactly 8 classes, 512 of each. K = 8 is the paper's setting; its
batch size, epochs and other settings for MAE are not known to us, so these
are the method's public ones.

Hardware and cost: not measured.

Result: not yet run at full size.
"""

_base_ = ['./mae_vit-b16_in1k.py']

train_dataloader = dict(
    drop_last=False,  # the batch sampler gives whole batches only
    batch_sampler=dict(type='ClassImbalancedBatchSampler', num_classes_per_batch=8),
)

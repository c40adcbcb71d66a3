"""PMSN, ResNet-50, ImageNet-1K.

Paper: The Hidden Uniform Cluster Prior in Self-Supervised Learning (ICLR 2023).

    bash tools/dist_train.sh configs/pmsn/pmsn_r50_in1k.py 8

MMPretrain's ResNet-50; its last map is averaged over positions. Without
patch dropping, which a convolutional network cannot do; batch normalisation
over all ranks, in the encoder, too. All else as pmsn_vit-b16_in1k.py, so
optimizer and schedules are those of the MSN release for vision transformers:
no recipe for a ResNet is known of MSN or of the paper, and nothing was tuned.

k-NN keeps 11 GB of features in each process here; without: --cfg-options
val_cfg=None val_dataloader=None val_evaluator=None.

Result: not yet run at full size.
"""

_base_ = ['./pmsn_vit-b16_in1k.py']

model = dict(
    patch_drop=0.0,
    backbone=dict(
        _delete_=True, type='ResNet', depth=50, norm_cfg=dict(type='PortableSyncBatchNorm')
    ),
    neck=dict(in_channels=2048),
)

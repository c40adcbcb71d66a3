"""Linear probe on ImageNet-1K of the ViT-S/16 of msn_vit-s16_in1k.py.

    bash tools/dist_train.sh configs/msn/benchmarks/vit-s16_8xb128-linear-coslr-100e_in1k.py 8

The file of this name for PMSN with another checkpoint, and all it says.

Result: not yet run at full size.
"""

_base_ = ['../../pmsn/benchmarks/vit-s16_8xb128-linear-coslr-100e_in1k.py']

checkpoint = 'work_dirs/msn_vit-s16_in1k/epoch_800.pth'
model = dict(backbone=dict(init_cfg=dict(checkpoint=checkpoint)))

"""Linear probe on ImageNet-1K of the ViT-B/16 of pmsn_vit-b16_in1k.py.

    bash tools/dist_train.sh \\
        configs/pmsn/benchmarks/vit-b16_in1k-pre_8xb128-linear-coslr-100e_in1k.py 8

vit-b16_8xb128-linear-coslr-100e_in1k.py with the checkpoint of
that config, and all it says.

Result: not yet run at full size.
"""

_base_ = ['./vit-b16_8xb128-linear-coslr-100e_in1k.py']

checkpoint = 'work_dirs/pmsn_vit-b16_in1k/epoch_300.pth'
model = dict(backbone=dict(init_cfg=dict(checkpoint=checkpoint)))

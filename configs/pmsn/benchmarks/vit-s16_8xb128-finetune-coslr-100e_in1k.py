"""Fine-tuning on ImageNet-1K of the ViT-S/16 of pmsn_vit-s16_in1k.py.

    bash tools/dist_train.sh configs/pmsn/benchmarks/vit-s16_8xb128-finetune-coslr-100e_in1k.py 8

vit-b16_8xb128-finetune-coslr-100e_in1k.py for ViT-S/16, which
MMPretrain calls deit-small, and all it says. The recipe is that of
ViT-B/16 and was not tuned for ViT-S/16.

Result: not yet run at full size.
"""

_base_ = ['./vit-b16_8xb128-finetune-coslr-100e_in1k.py']

checkpoint = 'work_dirs/pmsn_vit-s16_in1k/epoch_800.pth'
model = dict(
    backbone=dict(arch='deit-small', init_cfg=dict(checkpoint=checkpoint)),
    head=dict(in_channels=384),
)

# PMSN with ViT-S/16 (width 384, 12 blocks of 6 heads), the encoder that MSN was released with.
_base_ = ['./pmsn_vit-b16.py']

model = dict(
    backbone=dict(arch='vit-s/16'),
    neck=dict(in_channels=384),
)

# PMSN with ViT-L/16 (width 1024, 24 blocks of 16 heads).
_base_ = ['./pmsn_vit-b16.py']

model = dict(
    backbone=dict(_delete_=True, type='MSNViT', arch='vit-l/16', img_size=224),
    neck=dict(in_channels=1024),
)

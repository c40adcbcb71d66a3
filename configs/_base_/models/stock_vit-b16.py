# MMPretrain's own ViT-B/16 classifier on the class token, started from a pretrained target network.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch='deit-base',
        img_size=224,
        patch_size=16,
        out_type='cls_token',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/pmsn_vit-b16_inat18/epoch_300.pth',
            prefix='target_backbone.',
        ),
    ),
    head=dict(type='VisionTransformerClsHead', num_classes=1000, in_channels=768),
)

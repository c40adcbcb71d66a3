"""Linear probe on ImageNet-1K of a pretrained ViT-B/16, made of MMPretrain's classes alone.

    bash tools/dist_train.sh configs/pmsn/benchmarks/vit-b16_8xb128-linear-coslr-100e_in1k.py 8

The encoder is frozen; batch normalisation without affine parameters and a
linear layer are trained on the class token after the final norm. SGD with
Nesterov momentum, learning rate 6.4 x batch / 8192, cosine, 100 epochs, as
the linear evaluation of the MSN release; the batch norm instead of its
LayerNorm and L2 normalisation is what the stock classes offer.

Takes the target network of the checkpoint, as the MSN release does; the
trained network: --cfg-options model.backbone.init_cfg.prefix=backbone. (with
the dot).

Result: not yet run at full size.
"""

_base_ = [
    '../../_base_/models/stock_vit-b16.py',
    '../../_base_/datasets/in1k_stock.py',
    '../../_base_/stock_runtime.py',
]

model = dict(
    backbone=dict(frozen_stages=12),
    neck=dict(type='ClsBatchNormNeck', input_features=768),
    head=dict(
        loss=dict(type='CrossEntropyLoss'),
        init_cfg=[dict(type='TruncNormal', layer='Linear', std=0.01)],
    ),
)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.8, momentum=0.9, nesterov=True, weight_decay=0.0),
)
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        T_max=100,
        eta_min=0.0,
        by_epoch=True,
        begin=0,
        end=100,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=10)
val_cfg = dict()
test_cfg = dict()

"""Linear evaluation of a ViT-S/16 on ImageNet-1K, the recipe of the MSN release.

    CHECKPOINT=path/to/epoch_800.pth \\
        bash tools/dist_train.sh configs/benchmarks/linear/msn-linear_vit-s16_in1k.py 8

One head on the class token of the last block before the final norm: layer norm, L2 norm, linear.
SGD with Nesterov momentum, learning rate 6.4 x batch / 8192, here 0.8 for batch 128 x 8, no weight
decay, cosine to 0 over 100 epochs. Random crops of 224 px and flips; the central 224 of 256 px for
the test. That the rate changes with each iteration and that images are resampled bilinearly are our
reading of the recipe.

Other learning rates beside it, in the same run: --cfg-options model.lr_multipliers="[0.3,1.0,3.0]".

Hardware: 8 GPUs, 128 images on each. Cost: 128 million images forward through the frozen encoder,
and back through the heads alone; hours not measured.

Result: not yet run.
"""

_base_ = [
    '../../_base_/linear/vit-b16.py',
    '../../_base_/linear/in1k.py',
    '../../_base_/linear/crop.py',
]

checkpoint = '{{$CHECKPOINT:work_dirs/msn_vit-s16_in1k/epoch_800.pth}}'
batch_size = 128
max_epochs = 100

model = dict(
    num_classes={{_base_.num_classes}},
    backbone=dict(arch='deit-small', init_cfg=dict(checkpoint=checkpoint)),
    heads=[dict(feature='cls_raw', in_channels=384, norm='ln_l2')],
)
train_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=6.4 * batch_size * 8 / 8192, weight_decay=0.0))
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
        eta_min=0.0,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(max_epochs=max_epochs, val_interval=10)

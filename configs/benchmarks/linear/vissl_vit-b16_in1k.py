"""Linear evaluation of a ViT-B/16 on ImageNet-1K, VISSL's recipe.

    CHECKPOINT=path/to/epoch_300.pth \\
        bash tools/dist_train.sh configs/benchmarks/linear/vissl_vit-b16_in1k.py 8

Four linear heads on one forward pass of the frozen encoder: on the class token of the last block
and on those of the last four, each with and without batch norm. 28 epochs, a tenth of the learning
rate at 8, 16 and 24; SGD with Nesterov momentum, learning rate 0.01 for batch 32 x 8 = 256, weight
decay 5e-4, the last batch kept. Random crops of 224 px (bicubic) and flips; the central 224 of 256
px for the test.

The log has the top-1 of each head and names the best. CHECKPOINT may also be given by
--cfg-options model.backbone.init_cfg.checkpoint=...; of a run without a target network with
model.backbone.init_cfg.prefix=backbone. (with the dot).

Hardware: 8 GPUs, 32 images on each. Cost: 35.9 million images forward through the frozen encoder,
and back through the heads alone; hours not measured.

Result: not yet run.
"""

_base_ = [
    '../../_base_/linear/vit-b16.py',
    '../../_base_/linear/in1k.py',
    '../../_base_/linear/crop_bicubic.py',
]

model = dict(num_classes={{_base_.num_classes}})
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(paramwise_cfg=dict(regularize_bn=True))

"""Linear evaluation of a ResNet-50 on iNaturalist 2018, VISSL's recipe.

    CHECKPOINT=path/to/epoch_300.pth \\
        bash tools/dist_train.sh configs/benchmarks/linear/vissl_r50_inat18.py 8

Two linear heads on the mean of the last map of the frozen encoder, with batch norm (VISSL's) and
without (ours, never the best); VISSL's on earlier maps and on windows of the last are left out. 84
epochs, a tenth of the learning rate at 24, 48 and 72; SGD with Nesterov momentum, learning rate
0.01 for batch 32 x 8 = 256, weight decay 5e-4, the last batch kept. Random crops of 224 px
(bilinear) and flips; the central 224 of 256 px for the test.

The log has the top-1 of each head and names the best. CHECKPOINT may also be given by
--cfg-options model.backbone.init_cfg.checkpoint=...; of a run without a target network with
model.backbone.init_cfg.prefix=backbone. (with the dot).

Hardware: 8 GPUs, 32 images on each. Cost: 36.8 million images forward through the frozen encoder,
and back through the heads alone; hours not measured.

Result: not yet run.
"""

_base_ = [
    '../../_base_/linear/r50.py',
    '../../_base_/linear/inat18.py',
    '../../_base_/linear/crop.py',
]

model = dict(num_classes={{_base_.num_classes}})
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader

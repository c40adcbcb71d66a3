"""Linear evaluation of a ViT-B/16 on CLEVR/Count, VISSL's recipe.

    CHECKPOINT=path/to/epoch_300.pth \\
        bash tools/dist_train.sh configs/benchmarks/linear/vissl_vit-b16_clevr-count.py 8

Four linear heads on one forward pass of the frozen encoder: on the class token of the last block
and on those of the last four, each with and without batch norm. 50 epochs of a cosine from 0.01 to
1e-4, by epoch; SGD with Nesterov momentum, learning rate 0.01 for batch 32 x 8 = 256, weight decay
5e-4, the last batch kept. The whole image as 224 x 224 px (bilinear) and flips; the same without
them for the test.

The log has the top-1 of each head and names the best. CHECKPOINT may also be given by
--cfg-options model.backbone.init_cfg.checkpoint=...; of a run without a target network with
model.backbone.init_cfg.prefix=backbone. (with the dot).

Hardware: 8 GPUs, 32 images on each. Cost: 3.5 million images forward through the frozen encoder,
and back through the heads alone; hours not measured.

Result: not yet run.
"""

_base_ = [
    '../../_base_/linear/vit-b16.py',
    '../../_base_/linear/clevr-count.py',
    '../../_base_/linear/square.py',
]

model = dict(num_classes={{_base_.num_classes}})
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(paramwise_cfg=dict(regularize_bn=True))

"""MAE, ViT-B/16, ImageNet-1K: the standard recipe, shuffled mini-batches.

Paper: Masked Autoencoders Are Scalable Vision Learners (CVPR 2022).

    bash tools/dist_train.sh configs/mae/mae_vit-b16_in1k.py 8

Global batch 8 x 512 = 4096, 800 epochs of 312 iterations. Everything is the
MAE release's recipe, with three departures: full precision, where the release
trains in mixed (--cfg-options optim_wrapper.type=GroupClipAmpOptimWrapper);
masks that are a function of (seed, epoch, image); and MMPretrain's start of the
feed-forward biases, normal with deviation 1e-6, where the release has 0.

Hardware and cost: not measured.

Result: not yet run at full size.
"""

_base_ = [
    '../_base_/models/mae_vit-b16.py',
    '../_base_/datasets/in1k_mae.py',
    '../_base_/schedules/mae_adamw_800e.py',
    '../_base_/default_runtime.py',
]

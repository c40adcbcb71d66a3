"""data2vec, ViT-B/16, ImageNet-1K: the standard recipe, shuffled mini-batches.

Paper: data2vec: A General Framework for Self-supervised Learning in Speech,
Vision and Language (ICML 2022).

    bash tools/dist_train.sh configs/data2vec/data2vec_vit-b16_in1k.py 8

Global batch 8 x 256 = 2048, 800 epochs of 625 iterations. Everything is the
data2vec release's recipe, with these departures: full precision, where the
release trains the network, not its target, in mixed (--cfg-options
optim_wrapper.type=GroupClipAmpOptimWrapper, which takes both); exactly 120
patches are hidden in each image, where the release stops short of it when ten
blocks in a row do not fit; masks are a function of (seed, epoch, image).

Hardware and cost: not measured.

Result: not yet run at full size.
"""

_base_ = [
    '../_base_/models/data2vec_vit-b16.py',
    '../_base_/datasets/in1k_data2vec.py',
    '../_base_/schedules/data2vec_adamw_800e.py',
    '../_base_/default_runtime.py',
]

"""data2vec, ViT-B/16, iNaturalist 2018: the standard recipe on long-tailed data.

Paper: The Hidden Uniform Cluster Prior in Self-Supervised Learning (ICLR 2023),
with the method of data2vec (ICML 2022).

    bash tools/dist_train.sh configs/data2vec/data2vec_vit-b16_inat18.py 8

Global batch 8 x 256 = 2048, 800 epochs of 213 iterations. Everything is the
data2vec release's recipe, with these departures: full precision, where the
release trains the network, not its target, in mixed (--cfg-options
optim_wrapper.type=GroupClipAmpOptimWrapper, which takes both); exactly 120
patches are hidden in each image, where the release stops short of it when ten
blocks in a row do not fit; masks are a function of (seed, epoch, image).
The paper's own settings on this data are not known to us; these are the
method's public ones for ImageNet-1K.

The raw download is expected under data/inaturalist2018; another place:
--cfg-options train_dataloader.dataset.data_root=PATH (and the same for
val_dataloader.dataset and val_cfg.bank_dataloader.dataset).

Hardware and cost: not measured.

Result: not yet run at full size.
"""

_base_ = [
    '../_base_/models/data2vec_vit-b16.py',
    '../_base_/datasets/inat18_data2vec.py',
    '../_base_/schedules/data2vec_adamw_800e.py',
    '../_base_/default_runtime.py',
]

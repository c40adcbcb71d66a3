"""MAE, ViT-B/16, iNaturalist 2018: the standard recipe on long-tailed data.

Paper: The Hidden Uniform Cluster Prior in Self-Supervised Learning (ICLR 2023),
with the method of Masked Autoencoders Are Scalable Vision Learners (CVPR 2022).

    bash tools/dist_train.sh configs/mae/mae_vit-b16_inat18.py 8

Global batch 8 x 512 = 4096, 800 epochs of 106 iterations. Everything is the
MAE release's recipe, with three departures: full precision, where the release
trains in mixed (--cfg-options optim_wrapper.type=GroupClipAmpOptimWrapper);
masks that are a function of (seed, epoch, image); and MMPretrain's start of the
feed-forward biases, normal with deviation 1e-6, where the release has 0.
The paper's own settings on this data are not known to us; these are the
method's public ones for ImageNet-1K.

The raw download is expected under data/inaturalist2018; another place:
--cfg-options train_dataloader.dataset.data_root=PATH (and the same for
val_dataloader.dataset and val_cfg.bank_dataloader.dataset).

Hardware and cost: not measured.

Result: not yet run at full size.
"""

_base_ = [
    '../_base_/models/mae_vit-b16.py',
    '../_base_/datasets/inat18_mae.py',
    '../_base_/schedules/mae_adamw_800e.py',
    '../_base_/default_runtime.py',
]

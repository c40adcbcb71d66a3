"""SimCLR, ResNet-50, ImageNet-1K.

Paper: A Simple Framework for Contrastive Learning of Visual Representations
(ICML 2020).

    NNODES=4 bash tools/dist_train.sh configs/simclr/simclr_r50_in1k.py 8

Global batch 32 x 128 = 4096, 300 epochs of 312 iterations, ten of them warm-up,
LARS, temperature 0.1: the settings known of The Hidden Uniform Cluster Prior in
Self-Supervised Learning (ICLR 2023). The rest is public defaults: a learning
rate of 0.3 x batch / 256 = 4.8 with a cosine to zero; weight decay 1e-6, batch
normalisation after both layers of the projector and the form of LARS are
MMPretrain's (the original code: 1e-4, no bias in the last normalisation, the
norm of gradient and decay together). Crops are resized bilinearly, in the
original code bicubically.

SimCLR has no prototypes, hence no distribution over them and no prior to set.

The images are expected under data/imagenet; another place: --cfg-options
train_dataloader.dataset.data_root=PATH (and the same for
val_dataloader.dataset and val_cfg.bank_dataloader.dataset).

k-NN keeps 11 GB of features in each process here; without: --cfg-options
val_cfg=None val_dataloader=None val_evaluator=None.

Result: not yet run at full size.
"""

_base_ = [
    '../_base_/models/simclr_r50.py',
    '../_base_/views/simclr.py',
    '../_base_/datasets/in1k_msn.py',
    '../_base_/schedules/simclr_lars.py',
    '../_base_/default_runtime.py',
]

gpus = 32
batch_size = 128

train_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline={{_base_.pretrain_pipeline}}))
optim_wrapper = dict(optimizer=dict(lr=0.3 * gpus * batch_size / 256))
train_cfg = dict(val_interval=100)

"""VICReg, ResNet-50, ImageNet-1K.

Paper: VICReg: Variance-Invariance-Covariance Regularization (ICLR 2022).

    NNODES=4 bash tools/dist_train.sh configs/vicreg/vicreg_r50_in1k.py 8

Global batch 32 x 64 = 2048, 1000 epochs of 625 iterations, LARS at
0.2 x batch / 256 = 1.6: the released recipe, since the settings of The Hidden
Uniform Cluster Prior in Self-Supervised Learning (ICLR 2023) are not known.
(The released 100 epochs are base rate 0.3 at batch 512, which has no room for
960 classes.) The release trains in mixed precision: --cfg-options
optim_wrapper.type=AmpOptimWrapper.

VICReg has no prototypes, hence no distribution over them and no prior to set.

The images are expected under data/imagenet; another place: --cfg-options
train_dataloader.dataset.data_root=PATH (and the same for
val_dataloader.dataset and val_cfg.bank_dataloader.dataset).

k-NN keeps 11 GB of features in each process here; without: --cfg-options
val_cfg=None val_dataloader=None val_evaluator=None.

Result: not yet run at full size.
"""

_base_ = [
    '../_base_/models/vicreg_r50.py',
    '../_base_/views/vicreg.py',
    '../_base_/datasets/in1k_msn.py',
    '../_base_/schedules/vicreg_lars.py',
    '../_base_/default_runtime.py',
]

gpus = 32
batch_size = 64

train_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline={{_base_.pretrain_pipeline}}))
optim_wrapper = dict(optimizer=dict(lr=0.2 * gpus * batch_size / 256))
train_cfg = dict(val_interval=100)

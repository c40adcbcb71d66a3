"""SwAV, ResNet-50, ImageNet-1K.

Paper: Unsupervised Learning of Visual Features by Contrasting Cluster
Assignments (NeurIPS 2020).

    NNODES=8 bash tools/dist_train.sh configs/swav/swav_r50_in1k.py 8

Global batch 64 x 64 = 4096, 800 epochs of 312 iterations, SGD with LARC,
2 x 224 and 6 x 96 views, 3000 prototypes that stay frozen for the first 313
iterations, no queue: the released recipe. SwAV is our addition to the study
of The Hidden Uniform Cluster Prior in Self-Supervised Learning (ICLR 2023).
Departures: the release trains in mixed precision (--cfg-options
optim_wrapper.type=AmpOptimWrapper); normalises batches in groups of 8 GPUs,
512 images, where here it is all ranks, 4096; and divides pixels by 0.228,
0.224, 0.225, where here it is 0.229, 0.224, 0.225.

The images are expected under data/imagenet; another place: --cfg-options
train_dataloader.dataset.data_root=PATH (and the same for
val_dataloader.dataset and val_cfg.bank_dataloader.dataset).

k-NN keeps 11 GB of features in each process here; without: --cfg-options
val_cfg=None val_dataloader=None val_evaluator=None.

Result: not yet run at full size.
"""

_base_ = [
    '../_base_/models/swav_r50.py',
    '../_base_/views/swav.py',
    '../_base_/datasets/in1k_msn.py',
    '../_base_/schedules/swav_larc.py',
    '../_base_/default_runtime.py',
]

# Of 64 GPUs each; the learning rate is for 4096 images together.
batch_size = 64

train_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline={{_base_.pretrain_pipeline}}))
train_cfg = dict(val_interval=100)

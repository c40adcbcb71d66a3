"""SimCLR, ResNet-50, iNaturalist 2018: naturally long-tailed data.

Paper: The Hidden Uniform Cluster Prior in Self-Supervised Learning (ICLR 2023).

    NNODES=4 bash tools/dist_train.sh configs/simclr/simclr_r50_inat18.py 8

The recipe of simclr_r50_in1k.py on other data, expected under
data/inaturalist2018. SimCLR has no prototypes, hence no distribution over
them and no prior to set. The paper's own settings on this data are not known
to us; these are those for ImageNet-1K.

k-NN keeps 4 GB of features in each process here; without: --cfg-options
val_cfg=None val_dataloader=None val_evaluator=None.

Result: not yet run at full size.
"""

_base_ = [
    '../_base_/models/simclr_r50.py',
    '../_base_/views/simclr.py',
    '../_base_/datasets/inat18_msn.py',
    '../_base_/schedules/simclr_lars.py',
    '../_base_/default_runtime.py',
]

gpus = 32
batch_size = 128

train_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline={{_base_.pretrain_pipeline}}))
optim_wrapper = dict(optimizer=dict(lr=0.3 * gpus * batch_size / 256))

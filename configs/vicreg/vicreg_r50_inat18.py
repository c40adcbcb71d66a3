"""VICReg, ResNet-50, iNaturalist 2018: naturally long-tailed data.

Paper: The Hidden Uniform Cluster Prior in Self-Supervised Learning (ICLR 2023).

    NNODES=4 bash tools/dist_train.sh configs/vicreg/vicreg_r50_inat18.py 8

The recipe of vicreg_r50_in1k.py on other data, expected under
data/inaturalist2018. VICReg has no prototypes, hence no distribution over
them and no prior to set. The paper's own settings on this data are not known
to us; these are the method's public ones for ImageNet-1K.

k-NN keeps 4 GB of features in each process here; without: --cfg-options
val_cfg=None val_dataloader=None val_evaluator=None.

Result: not yet run at full size.
"""

_base_ = [
    '../_base_/models/vicreg_r50.py',
    '../_base_/views/vicreg.py',
    '../_base_/datasets/inat18_msn.py',
    '../_base_/schedules/vicreg_lars.py',
    '../_base_/default_runtime.py',
]

gpus = 32
batch_size = 64

train_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline={{_base_.pretrain_pipeline}}))
optim_wrapper = dict(optimizer=dict(lr=0.2 * gpus * batch_size / 256))

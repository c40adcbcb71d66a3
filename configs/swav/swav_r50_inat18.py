"""SwAV, ResNet-50, iNaturalist 2018: equal clusters on naturally long-tailed data.

Paper: Unsupervised Learning of Visual Features by Contrasting Cluster
Assignments (NeurIPS 2020).

    NNODES=8 bash tools/dist_train.sh configs/swav/swav_r50_inat18.py 8

Global batch 64 x 64 = 4096, 100 epochs of 106 iterations, 8142 prototypes, as
the two public configs of the VISSL library: one with a uniform marginal, as
here, one with the power law of swav_r50_inat18_powerlaw.py. All else is the
recipe of swav_r50_in1k.py.

k-NN keeps 4 GB of features in each process here; without: --cfg-options
val_cfg=None val_dataloader=None val_evaluator=None.

Result: not yet run at full size.
"""

_base_ = [
    '../_base_/models/swav_r50.py',
    '../_base_/views/swav.py',
    '../_base_/datasets/inat18_msn.py',
    '../_base_/schedules/swav_larc.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_prototypes=8142))
# Of 64 GPUs each; the learning rate is for 4096 images together.
batch_size = 64

train_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline={{_base_.pretrain_pipeline}}))
train_cfg = dict(max_epochs=100)

"""PMSN, ViT-L/16, ImageNet-1K: sharded over the GPUs, in bfloat16.

Paper: The Hidden Uniform Cluster Prior in Self-Supervised Learning (ICLR 2023).

On two machines of eight GPUs (NODE_RANK is 0 on the first, 1 on the second):

    NNODES=2 NODE_RANK=0 MASTER_ADDR=<first machine> \\
        bash tools/dist_train.sh configs/pmsn/pmsn_vit-l16_in1k_fsdp.py 8

Global batch 16 x 64 = 1024, 300 epochs of 1251 iterations: everything but the
encoder is pmsn_vit-b16_in1k.py, whose values are taken over and not tuned for
this size; a recipe for ViT-L/16 is not known of the paper. bfloat16, and
weights, gradients, moments and target network divided among the ranks. What
that needs in memory, by formula: docs/large_models.md. With less than 80 GB:
--cfg-options +model.backbone.with_cp=True.

With DistributedDataParallel in its place, from the same checkpoints:
--cfg-options runner_type=Runner.

Every 100 epochs k-NN against all training images, which keeps 5 GB of
features in each process; without: --cfg-options val_cfg=None
val_dataloader=None val_evaluator=None.

The images are expected under data/imagenet; another place: --cfg-options
train_dataloader.dataset.data_root=PATH (and the same for
val_dataloader.dataset and val_cfg.bank_dataloader.dataset).

Result: not yet run at full size.
"""

_base_ = [
    '../_base_/models/pmsn_vit-l16.py',
    '../_base_/datasets/in1k_msn.py',
    '../_base_/schedules/msn_adamw_300e.py',
    '../_base_/default_runtime.py',
]

runner_type = 'mmpretrain.ShardedRunner'
# Weights are sent as they are computed with.
sharding = dict(param_dtype='bfloat16')
optim_wrapper = dict(dtype='bfloat16')
train_dataloader = dict(batch_size=64)
train_cfg = dict(val_interval=100)

"""PMSN, ViT-S/16, any folder of images without labels, one GPU.

    DATA_ROOT=path/to/images python tools/train.py configs/pmsn/pmsn_vit-s16_folder.py

Flat or nested, any common format. The folder can also be given by
--cfg-options train_dataloader.dataset.data_root=path/to/images (not by
data_root alone, which is a variable of this file).

Views, projection, patch drop, weight decay, momentum and the shape of the
schedules are those of the MSN release. Our own choices, not measured:
  * Batch 64 on one GPU (the release: 1024 on sixteen) and learning rate
    1e-3 x sqrt(64 / 1024) = 2.5e-4, by the square-root rule.
  * About 100,000 steps: as many epochs as come to that, 30 at least and 800
    at most. The summary before training names the number and the time.
  * Warm-up of 15 epochs, but a tenth of the training at most.
  * 256 prototypes; have ten images for each at least.
  * Power-law prior of exponent 0.25, also as Sinkhorn's marginal.

Hardware: one GPU of 24 GB is the aim, not tried. Cost: the summary before
training estimates it for your machine and folder.

Result: not yet run.
"""

_base_ = [
    '../_base_/models/pmsn_vit-s16.py',
    '../_base_/datasets/inat18_msn.py',
    '../_base_/schedules/msn_adamw_any.py',
    '../_base_/default_runtime.py',
]

# ---- what is changed most often ----
data_root = '{{$DATA_ROOT:data/images}}'
batch_size = 64
lr = 1e-3 * (batch_size / 1024) ** 0.5
num_prototypes = 256
# ------------------------------------

model = dict(head=dict(num_prototypes=num_prototypes))

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=8,
    dataset=dict(
        _delete_=True,
        type='ImageFolder',
        data_root=data_root,
        pipeline={{_base_.train_pipeline}},
    ),
)
# k-NN during training needs labels.
bank_dataloader = None
val_dataloader = None
val_cfg = None
val_evaluator = None

optim_wrapper = dict(optimizer=dict(lr=lr))
default_hooks = dict(
    checkpoint=dict(interval=5),
    logger=dict(interval=50),
    # Images, sizes, what was skipped, steps, epochs and an estimate of the time.
    data_summary=dict(type='DataSummaryHook'),
)

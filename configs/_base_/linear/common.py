# Linear evaluation as VISSL does it: loaders, SGD and scores of every task. A task adds its data
# and schedule, a model its heads; batch 32 on each of 8 GPUs, all images of an epoch.
_base_ = ['../default_runtime.py']

loader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=False,
    collate_fn=dict(type='default_collate'),
)
train_dataloader = dict(**loader, sampler=dict(type='EpochSampler', shuffle=True))
val_dataloader = dict(**loader, sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader

# For batch 256: another batch scales it, 0.01 x batch / 256. Biases are decayed, too.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='LinearProbeOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4),
)

val_cfg = dict()
test_cfg = dict()
val_evaluator = dict(type='ProbeAccuracy')
test_evaluator = val_evaluator

"""A config of one second, for the tests of the command lines."""

custom_imports = dict(imports=['mmssl_prior', 'toy_task'], allow_failed_imports=False)
default_scope = 'mmpretrain'

width = 4
model = dict(type='ToyModel', width=width)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='ToyData', length=8, width=width),
)
train_cfg = dict(by_epoch=True, max_epochs=2)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
param_scheduler = [dict(type='MultiStepLR', milestones=[1], by_epoch=True)]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1),
    checkpoint=dict(type='CheckpointHook', interval=1),
)
custom_hooks = [dict(type='IterTimerHook', priority='NORMAL')]
env_cfg = dict(dist_cfg=dict(backend='nccl'))
randomness = dict(seed=0)
load_from = None
resume = False
